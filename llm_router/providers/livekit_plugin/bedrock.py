"""An AWS session for LiveKit's Bedrock plugin: one client for all replies, without retries."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Self

from aiobotocore.session import AioSession
from botocore.config import Config

from llm_router.connections.record import Connection
from llm_router.errors import ConfigurationError

_CONNECT_TIMEOUT = 3.0  # s; a server that takes longer to connect is too slow for a voice call
_SERVICE = "bedrock-runtime"


class Session(AioSession):  # type: ignore[misc]  # aiobotocore has no types
    """Shares one client, which never retries, between all replies; `aclose` closes it.

    By itself the plugin opens a client for every reply, which blocks the event loop for a tenth of
    a second and costs a TLS handshake, and lets that client retry four times.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        # "our": botocore's session has attributes named `_config`, `_client` and so on.
        self._our_endpoint = connection.base_url.rstrip("/") or None
        self._our_config = Config(
            connect_timeout=_CONNECT_TIMEOUT,
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

    def create_client(self, *_: Any, **__: Any) -> "_SharedClient":
        """Returns the shared client for any service; leaving its block keeps it open."""
        return _SharedClient(self)

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


class _SharedClient:
    """Stands in for the client that the plugin opens for each reply.

    Leaving the block keeps the real client open and closes a reply that was not read to its end,
    so that the model stops.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reply: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reply is not None:
            self._reply.close()

    async def converse_stream(self, **params: Any) -> Any:
        client = await self._session.client()
        response = await client.converse_stream(**params)
        self._reply = response["stream"]
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
