"""Makes the client with which speech engines ask a server that has OpenAI's audio API."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import httpx2
from openai import AsyncClient

from agent.speech.engine import EngineOptions
from llm_router.net.transports import EnvironmentTransport

_OPENAI = "https://api.openai.com/v1"

Hook = Callable[[httpx2.Request], Coroutine[Any, Any, None]]


def audio_client(options: EngineOptions, on_request: Sequence[Hook] = ()) -> AsyncClient:
    """Makes a client without retries; the engine closes it.

    `on_request`: called with each request before it is sent. A proxy or a file of certificates in
    the environment that cannot be used fails the requests that need it, and names its variable.
    """
    return AsyncClient(
        # Both are always set: otherwise the client reads them from the environment, and a key
        # meant for OpenAI would go to the server that base_url names.
        base_url=options.base_url or _OPENAI,
        api_key=options.api_key or "none",
        max_retries=0,
        http_client=httpx2.AsyncClient(
            follow_redirects=True,
            event_hooks={"request": [*on_request]},
            transport=EnvironmentTransport(),
            trust_env=False,
        ),
    )
