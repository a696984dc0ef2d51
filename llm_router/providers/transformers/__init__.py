"""Runs a Hugging Face model inside this process.

`engine` is the one module that imports torch; `text` turns tokens into words.
"""

from llm_router.providers.transformers.provider import create

__all__ = ["create"]
