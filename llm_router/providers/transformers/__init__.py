"""Runs a Hugging Face model inside this process.

`provider` schedules replies on threads, `text` turns tokens into text and tool calls, and `engine`
runs the model. Only `engine` imports torch, and only when a model is loaded.
"""

from llm_router.providers.transformers.provider import create

__all__ = ["create"]
