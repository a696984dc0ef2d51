"""Makes a connection of an LLM object that its owner has constructed."""

from collections.abc import Collection
from itertools import count
from typing import Any

from livekit.agents import llm

from llm_router.connections.record import Connection
from llm_router.errors import ConfigurationError
from llm_router.providers.livekit_plugin.provider import LiveKitProvider, from_llm


def from_ready(model: llm.LLM[Any], taken: Collection[str]) -> tuple[Connection, LiveKitProvider]:
    """Returns a connection for the object, by a name that is not taken, and its provider.

    What the object can do is its owner's to know: it is asked for tools, pictures and JSON alike.
    Raises ConfigurationError for an object that is no LLM.
    """
    if not isinstance(model, llm.LLM):
        raise ConfigurationError(
            f"a connection is a Connection or an LLM of LiveKit's, not {type(model).__name__}"
        )
    known = {"unknown", ""}
    base = model.model if model.model not in known else type(model).__name__
    numbered = (base if number == 1 else f"{base} {number}" for number in count(1))
    name = next(name for name in numbered if name not in taken)
    connection = Connection(
        name=name,
        provider="livekit_plugin",
        model_name=model.model if model.model not in known else "",
        supports_images=True,
    )
    return connection, from_llm(model)
