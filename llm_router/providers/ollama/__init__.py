"""Speaks Ollama's own API, which reports whether a model is in memory.

`provider` sends the requests, `request` builds their bodies and `reply` parses the answers.
Ollama's OpenAI-compatible API needs none of this.
"""

from llm_router.providers.ollama.provider import create

__all__ = ["create"]
