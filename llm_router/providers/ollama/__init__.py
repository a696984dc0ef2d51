"""Speaks Ollama's own API, which tells whether a model is in memory yet.

Here belong Ollama's requests and replies; its OpenAI-compatible API needs none of this.
"""

from llm_router.providers.ollama.provider import create

__all__ = ["create"]
