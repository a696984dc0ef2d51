"""Connections: listed, added, changed, switched on and off, given a new key, removed."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response

from llm_router.connections import rules
from llm_router.connections import store as connection_store
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.gateway.deps import Asking, ConnectionId, Served, Services
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import (
    ConnectionChanges,
    ConnectionPage,
    ConnectionShown,
    ConnectionsWanted,
    NewConnection,
    NewSecret,
)
from llm_router.management.vetting import recognise, vet

router = APIRouter(prefix="/connections", tags=["connections"])

_DECIDES_WHO_IS_ASKED = frozenset({"base_url", "provider", "server"})
Version = Annotated[
    int | None,
    Query(ge=0, le=10**9, description="Of the record as you know it; 409 if it has changed."),
]


@router.get("", response_model=ConnectionPage, operation_id="listConnections")
async def find(
    asking: Asking, served: Served, wanted: Annotated[ConnectionsWanted, Query()]
) -> dict[str, Any]:
    """The connections you see, a page at a time."""
    asked = wanted.model_dump(exclude={"tag", "order"})
    query = connection_store.Query(
        **asked, tags=tuple(wanted.tag), descending=wanted.order == "desc"
    )
    page = await served.store.find(asking, query)
    return {
        "items": page.items,
        "total": page.total,
        "limit": wanted.limit,
        "offset": wanted.offset,
        "unreadable": page.unreadable,
    }


@router.post(
    "",
    status_code=201,
    response_model=ConnectionShown,
    operation_id="addConnection",
    responses=problems(409),
)
async def add(
    asking: Asking, served: Served, wanted: NewConnection, response: Response
) -> Connection:
    """Add one. It is yours, and yours alone until `visibility` says otherwise.

    Of an address alone, its server is asked what it is: `server` says what was found, as do
    `context_length` and, where there is but one model, `model_name`. Correct by hand what is wrong.
    """
    rules.require(asking, "add")
    new = Connection(**wanted.given())
    await vet(served.guard(asking), new)
    (added,) = await served.store.add(
        asking, [await recognise(new, served.guard(asking), served.identify_within)]
    )
    response.headers["Location"] = f"/api/connections/{added.id}"
    return added


@router.get(
    "/{connection_id}",
    response_model=ConnectionShown,
    operation_id="getConnection",
    responses=problems(404),
)
async def get(asking: Asking, served: Served, connection_id: ConnectionId) -> Connection:
    """One of them."""
    return await served.store.get(asking, connection_id)


@router.patch(
    "/{connection_id}",
    response_model=ConnectionShown,
    operation_id="changeConnection",
    responses=problems(404, 409),
)
async def change(
    asking: Asking, served: Served, connection_id: ConnectionId, wanted: ConnectionChanges
) -> Connection:
    """Put new values in the fields named, and leave the rest.

    With the `version` the change is based on, it is refused (409) if somebody else has changed the
    connection in between. One that moves to another host must be given its key again, unless by an
    admin.
    """
    changes = wanted.given()
    version = changes.pop("version", None)
    return await _changed(served, asking, connection_id, changes, version)


@router.delete(
    "/{connection_id}",
    status_code=204,
    operation_id="removeConnection",
    responses=problems(404, 409),
)
async def remove(
    asking: Asking, served: Served, connection_id: ConnectionId, version: Version = None
) -> None:
    """Remove it. Replies in flight finish on it; what it was used for stays in the usage log."""
    await served.store.remove(asking, connection_id, version=version)


@router.post(
    "/{connection_id}/activate",
    response_model=ConnectionShown,
    operation_id="activateConnection",
    responses=problems(404),
)
async def activate(asking: Asking, served: Served, connection_id: ConnectionId) -> Connection:
    """Have it asked again, from the next turn on."""
    return await _changed(served, asking, connection_id, {"is_active": True})


@router.post(
    "/{connection_id}/deactivate",
    response_model=ConnectionShown,
    operation_id="deactivateConnection",
    responses=problems(404),
)
async def deactivate(asking: Asking, served: Served, connection_id: ConnectionId) -> Connection:
    """Have it asked no more, from the next turn on. Replies in flight finish."""
    return await _changed(served, asking, connection_id, {"is_active": False})


@router.post(
    "/{connection_id}/rotate-key",
    response_model=ConnectionShown,
    operation_id="rotateConnectionKey",
    responses=problems(404, 409),
)
async def rotate_key(
    asking: Asking,
    served: Served,
    connection_id: ConnectionId,
    wanted: Annotated[NewSecret, Body()],
) -> Connection:
    """Put a new key in place of the old one, which is gone at once."""
    key = wanted.api_key and wanted.api_key.get_secret_value()
    return await _changed(served, asking, connection_id, {"api_key": key}, wanted.version)


async def _changed(
    served: Services,
    actor: Actor,
    connection_id: str,
    changes: dict[str, Any],
    version: int | None = None,
) -> Connection:
    if _DECIDES_WHO_IS_ASKED & set(changes):
        stored = await served.store.get(actor, connection_id)
        rules.require(actor, "edit", stored)
        await vet(served.guard(actor), replace(stored, **changes))
    return await served.store.change(actor, connection_id, changes, version=version)
