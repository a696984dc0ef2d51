"""Defines a tool: its name, its arguments, and the call that it gets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types import CallToolRequestParams, CallToolResult, InputRequiredResult
from pydantic import BaseModel

from llm_router.api_client import require_unique_name
from llm_router.connections.access import Action, Actor
from llm_router.connections.record import ID_PATTERN, Connection
from llm_router.connections.store import Query
from llm_router.errors import NotFoundError
from llm_router.gateway.deps import Services

Result = CallToolResult | InputRequiredResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a tool, with what the tool needs to carry it out."""

    services: Services
    actor: Actor
    context: ServerRequestContext[Any, Any]
    params: CallToolRequestParams
    arguments: Any
    """The arguments, checked: of the tool's own `arguments`."""

    async def connection(self) -> Connection:
        """Returns the connection that the argument `connection` names.

        Raises NotFoundError, and ConflictError where several have the name.
        """
        return await find_connection(self.services, self.actor, self.arguments.connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool. Actors whose role does not allow the `action` do not see it."""

    name: str
    description: str
    arguments: type[BaseModel]
    action: Action
    run: Callable[[Call], Awaitable[Result]]
    changes: bool = False
    """Whether it changes what is stored."""
    asks_servers: bool = False
    """Whether it calls model servers."""


async def find_connection(services: Services, actor: Actor, name_or_id: str) -> Connection:
    """Returns the connection of this name, else of this id.

    Raises NotFoundError, and ConflictError where several have the name.
    """
    page = await services.store.find(actor, Query(name=name_or_id))
    require_unique_name(name_or_id, [(found.id, found.owner) for found in page.items])
    if page.items:
        return page.items[0]
    if ID_PATTERN.fullmatch(name_or_id):
        return await services.store.get(actor, name_or_id)
    raise NotFoundError(
        f"there is no connection {name_or_id[:100]!r}; list_connections has their names"
    )
