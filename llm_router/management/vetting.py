"""Vets connections before they are stored or called: their provider, and where they lead."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from llm_router.catalog import servers as catalog
from llm_router.catalog.presets import CLOUDS
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.discovery.local_servers import identify_server
from llm_router.errors import ConfigurationError, UnknownPluginError
from llm_router.net.guard import AddressGuard
from llm_router.providers.base import PROVIDERS

_LOOKUPS_AT_ONCE = 8
_LOOKUPS_WITHIN = 10.0
"""Seconds in which all names of a file are resolved; dialling checks each address again."""


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Says which addresses an actor may have called, and which ones a stored connection may call.

    `allowed`: addresses that are open to everybody, as in `net.guard.AddressGuard`.
    """

    allowed: tuple[str, ...] = ()

    def for_actor(self, actor: Actor) -> AddressGuard:
        """Returns the guard for requests of `actor`; an admin may have any address called."""
        return AddressGuard(allow_private=actor.role == "admin", allowed=self.allowed)

    def for_connection(self, connection: Connection) -> AddressGuard:
        """Returns the guard for background work, which may call what a voice call may."""
        return AddressGuard(allow_private=not connection.is_guarded, allowed=self.allowed)


async def vet(guard: AddressGuard, *connections: Connection) -> None:
    """Checks the provider, the server and the address of each connection.

    Raises AddressRefusedError for an address that `guard` refuses, UnknownPluginError for a
    provider that does not exist, and ConfigurationError for an unknown server or a missing address.
    """
    known = PROVIDERS.names()
    for connection in connections:
        if connection.provider not in known:
            raise UnknownPluginError("provider", connection.provider, known)
        if connection.provider == catalog.PROVIDER:
            catalog.find_server(connection)
            _require_address(connection)
    await _check_addresses(guard, {c.base_url for c in connections if c.base_url})


async def _check_addresses(guard: AddressGuard, addresses: Iterable[str]) -> None:
    """Checks each address once, some at a time; one that takes too long to resolve passes."""
    places = asyncio.Semaphore(_LOOKUPS_AT_ONCE)

    async def check(url: str) -> None:
        guard.check_url(url)
        async with places:
            await guard.check(url)

    with suppress(TimeoutError):
        async with asyncio.timeout(_LOOKUPS_WITHIN):
            await asyncio.gather(*map(check, addresses))


async def recognise(connection: Connection, guard: AddressGuard, within: float) -> Connection:
    """Returns the connection with what its server says about itself, where the record is silent.

    A server is asked only if the record holds an address alone that belongs to no known service,
    and for at most `within` seconds; 0 asks none. The result is stored, so that its author can see
    and correct it. A server that does not answer leaves the record unchanged.
    """
    is_open = connection.provider == catalog.PROVIDER and not connection.server
    if not (is_open and connection.base_url and within):
        return connection
    if catalog.find_server(connection).hosts:
        return connection
    seen = await identify_server(
        connection.base_url, api_key=connection.api_key, guard=guard, within=within
    )
    if seen is None:
        return connection
    model = connection.model_name or (seen.models[0] if len(seen.models) == 1 else "")
    length = connection.context_length or seen.context_length(model)
    return replace(connection, server=seen.server, model_name=model, context_length=length)


def _require_address(connection: Connection) -> None:
    if connection.base_url:
        return
    cloud = CLOUDS.get(connection.connection_type)
    usual = cloud.base_url if cloud else "http://host:port/v1"
    raise ConfigurationError(
        f"connection {connection.name[:100]!r}: base_url is missing, e.g. {usual}"
    )
