"""Tools of operators: switch a connection on and off, drain it. Each says first what follows."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from llm_router.connections import rules
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.gateway.mcp.questions import ask_back
from llm_router.gateway.mcp.reads import Name
from llm_router.gateway.mcp.results import said
from llm_router.gateway.mcp.tool import Call, Result, Tool
from llm_router.gateway.schemas.base import ShortText, StrictModel
from llm_router.store.analytics import Analytics, Span

_USES = {
    "use_in_livekit": "calls",
    "use_in_mcp": "MCP",
    "use_in_automation": "programs",
}
_MOST_NAMED = 3
_USUAL_WEIGHT = 1.0

Code = Annotated[ShortText, Field(description="Leave empty; a question may say what to give.")]


class Activation(StrictModel):
    connection: Name
    active: bool
    confirm: Code = ""


class Draining(StrictModel):
    connection: Name
    drained: bool = True
    confirm: Code = ""


async def _set_active(call: Call) -> Result:
    connection, active = await call.connection(), call.arguments.active
    if connection.is_active == active:
        return said(f"{connection.name} is switched {_on(active)} already.")
    if active:
        question = (
            f"Switch on {connection.name} (status: {connection.status})? It answers"
            f" {_uses(connection)} again from the next request on."
        )
    else:
        question = (
            f"Switch off {connection.name}? {await _recently(call, connection)} Replies in progress"
            f" end on it. {await _instead(call, connection)}"
        )
    return await _changed(
        call, connection, question, {"is_active": active},
        f"{connection.name} is switched {_on(active)}.",
    )  # fmt: skip


async def _drain(call: Call) -> Result:
    connection, drained = await call.connection(), call.arguments.drained
    if drained is not bool(connection.weight):
        state = "drained" if drained else "not drained"
        return said(f"{connection.name} is {state} already.")
    if drained:
        question = (
            f"Drain {connection.name}? {await _recently(call, connection)} Replies in progress end"
            " on it; from the next request on it is asked only when no other connection is left."
            f" Its weight was {connection.weight:g}. {await _instead(call, connection)}"
        )
    else:
        question = (
            f"End the draining of {connection.name}? It answers {_uses(connection)} as before, with"
            f" the weight {_USUAL_WEIGHT:g}."
        )
    return await _changed(
        call, connection, question, {"weight": 0.0 if drained else _USUAL_WEIGHT},
        f"{connection.name} is {'' if drained else 'no longer '}drained.",
    )  # fmt: skip


async def _changed(
    call: Call, connection: Connection, question: str, changes: dict[str, Any], done: str
) -> Result:
    """Asks, and changes the version that the question was about.

    Raises StaleError and ForbiddenError.
    """
    rules.require(call.actor, "activate", connection)
    about = f"{connection.id} {connection.version} {changes}"
    if asking := await ask_back(call, question, about):
        return asking
    await call.services.editor.update(
        call.actor, connection.id, changes, version=connection.version
    )
    return said(done)


async def _recently(call: Call, connection: Connection) -> str:
    now = call.services.now()
    span = Span(since=now - timedelta(hours=1), until=now, connection_id=connection.id)
    figures = (await Analytics(call.services.database).figures(call.actor, span))[()]
    given = figures.outcomes.get("won", 0)
    replies = "reply" if given == 1 else "replies"
    return f"It has given {given:,} {replies} since {span.begins:%H:%M} UTC."


async def _instead(call: Call, connection: Connection) -> str:
    """Says, for each use of the connection, which others that the actor may see take over."""
    page = await call.services.store.find(call.actor, Query(is_active=True, limit=None))
    others = [c for c in page.items if c.id != connection.id and c.weight]
    sentences = []
    for flag, use in _USES.items():
        if getattr(connection, flag):
            names = [c.name for c in others if getattr(c, flag)]
            listed = ", ".join(names[:_MOST_NAMED]) or "no other connection that you can see"
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            sentences.append(f"{use}: {listed}{more}")
    return f"Instead of it ask {'; '.join(sentences)}." if sentences else ""


def _uses(connection: Connection) -> str:
    return ", ".join(use for flag, use in _USES.items() if getattr(connection, flag)) or "nothing"


def _on(active: bool) -> str:
    return "on" if active else "off"


TOOLS = (
    Tool(
        name="set_active",
        description="Switch a connection on or off, for calls and programs. Asks before it does.",
        arguments=Activation,
        action="activate",
        run=_set_active,
        changes=True,
    ),
    Tool(
        name="drain",
        description="Have a connection asked only when no other is left, or end that. Asks before"
        " it does.",
        arguments=Draining,
        action="activate",
        run=_drain,
        changes=True,
    ),
)
