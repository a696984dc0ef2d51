"""Asks any LiveKit `llm.LLM`: a plugin that the connection names, or an object.

Here belong the rows of known plugins and the translation of LiveKit's chat, tools and errors.
"""

from llm_router.providers.livekit_plugin.provider import create

__all__ = ["create"]
