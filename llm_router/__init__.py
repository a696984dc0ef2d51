"""A router for the language models of voice agents: it hedges, fails over and resumes replies.

async with open_router([Connection(name="a", base_url="http://host/v1")]) as router:
    async for chunk in router.stream(ChatRequest(messages=[...], speech=True)):
        ...
"""

from llm_router.assembly import open_router
from llm_router.connections.record import Connection
from llm_router.errors import RouterError
from llm_router.options import RouterOptions
from llm_router.routing.events import AttemptEvent, Observer, ReplyEvent
from llm_router.routing.phrases import Phrases
from llm_router.routing.router import Router
from llm_router.types import ChatRequest, Chunk, ToolCall, Usage
from llm_router.version import __version__

__all__ = [
    "AttemptEvent",
    "ChatRequest",
    "Chunk",
    "Connection",
    "Observer",
    "Phrases",
    "ReplyEvent",
    "Router",
    "RouterError",
    "RouterOptions",
    "ToolCall",
    "Usage",
    "__version__",
    "open_router",
]
