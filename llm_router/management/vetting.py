"""What the gateway looks at before a connection is kept or called, besides what the store does."""

from dataclasses import replace
from typing import Annotated

from fastapi import Path

from llm_router.catalog import servers as catalog
from llm_router.catalog.presets import CLOUDS
from llm_router.connections import rules
from llm_router.connections.access import Action, Actor
from llm_router.connections.record import Connection
from llm_router.discovery.local_servers import identify
from llm_router.errors import ConfigurationError, UnknownPluginError
from llm_router.gateway.deps import Services
from llm_router.providers.base import PROVIDERS

Id = Annotated[
    str,
    Path(
        description="Of the connection.",
        max_length=100,
        pattern=r"^[A-Za-z0-9_.:@+-]+$",
        examples=["6f0c7ad4-8a5e-4a8e-9f53-0d4a3f2b7c11"],
    ),
]


async def opened(
    served: Services, actor: Actor, connection_id: str, what: str, action: Action = "test"
) -> Connection:
    """With its key, whose use is written down as `what`. Raises as the store and `vet` do, and
    ForbiddenError unless the actor may take the `action`.
    """
    rules.require(actor, action, await served.store.get(actor, connection_id))
    connection = await served.store.get(actor, connection_id, secrets=True)
    await vet(served, actor, connection)
    entry = actor.audit_entry(what, ("connection", connection_id), served.now())
    await served.keys.note(entry)
    return connection


async def vet(served: Services, actor: Actor, *connections: Connection) -> None:
    """Raises AddressRefusedError for an address that the actor may not have called, and
    ConfigurationError for a provider or a server that nobody knows.
    """
    guard, known = served.guard(actor), PROVIDERS.names()
    for connection in connections:
        if connection.provider not in known:
            raise UnknownPluginError("provider", connection.provider, known)
        if connection.provider == catalog.PROVIDER:
            catalog.find_server(connection)
            _require_address(connection)
        if connection.base_url:
            await guard.check(connection.base_url)


async def recognised(served: Services, actor: Actor, connection: Connection) -> Connection:
    """The same with what its server says of itself, where the record leaves that open.

    Asked only for an address alone that no service is known by. What is found is in the record, for
    whoever added it to see and to correct; a server that does not answer leaves it as it is.
    """
    left_open = connection.provider == catalog.PROVIDER and not connection.server
    if not (left_open and connection.base_url and served.identify_within):
        return connection
    if catalog.find_server(connection).hosts:
        return connection
    seen = await identify(
        connection.base_url,
        api_key=connection.api_key,
        guard=served.guard(actor),
        within=served.identify_within,
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
