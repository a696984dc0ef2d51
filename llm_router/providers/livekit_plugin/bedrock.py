"""The AWS session behind LiveKit's Bedrock plugin: asked once, and kept open between answers."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Self

from aiobotocore.session import AioSession
from botocore.config import Config

from llm_router.connections.record import Connection
from llm_router.errors import ConfigurationError

_CONNECT = 3.0  # s; a server that takes longer to shake hands is none for a voice
_SERVICE = "bedrock-runtime"


class Session(AioSession):  # type: ignore[misc]  # aiobotocore has no types
    """The plugin opens a client for every answer, which costs a tenth of a second of this loop and
    a TLS handshake, and lets it retry four times behind the router's back. This one hands out one
    client that asks once; `aclose` closes it.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        # "our": botocore's own session keeps a `_config` and more.
        self._our_endpoint = connection.base_url.rstrip("/") or None
        self._our_config = Config(
            connect_timeout=_CONNECT,
            read_timeout=connection.timeout,
            retries={"total_max_attempts": 1},
            max_pool_connections=1000,
        )
        self._our_client_open = AsyncExitStack()
        self._our_client: Any = None
        self._our_lock = asyncio.Lock()
        self.set_config_variable("region", connection.region or "us-east-1")
        if connection.api_key:
            self.set_credentials(*_credentials(connection))

    def create_client(self, *_: Any, **__: Any) -> "_Shared":
        """The one client, whatever is asked for; leaving the block leaves it open."""
        return _Shared(self)

    async def client(self) -> Any:
        async with self._our_lock:
            if self._our_client is None:
                # The service's description is a file of a megabyte.
                loader = self.get_component("data_loader")
                await asyncio.to_thread(loader.load_service_model, _SERVICE, "service-2")
                opening = super().create_client(
                    _SERVICE, endpoint_url=self._our_endpoint, config=self._our_config
                )
                self._our_client = await self._our_client_open.enter_async_context(opening)
            return self._our_client

    async def aclose(self) -> None:
        await self._our_client_open.aclose()


class _Shared:
    """What the plugin takes for a client of its own. Leaving the block leaves the client open, and
    closes an answer that was not read to its end, so that the model stops.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._answer: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._answer is not None:
            self._answer.close()

    async def converse_stream(self, **asked: Any) -> Any:
        client = await self._session.client()
        response = await client.converse_stream(**asked)
        self._answer = response["stream"]
        return response


def _credentials(connection: Connection) -> list[str]:
    parts = (connection.api_key or "").strip().split(":")
    if len(parts) not in {2, 3} or not all(parts):
        raise ConfigurationError(
            f"connection {connection.name!r}: api_key must be ACCESS_KEY_ID:SECRET_ACCESS_KEY, with"
            " :SESSION_TOKEN where there is one; empty: the machine's own credentials. A Bedrock"
            " API key goes into AWS_BEARER_TOKEN_BEDROCK"
        )
    return parts
