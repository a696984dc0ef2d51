"""Tools that read: connections, their health and usage, a reply's attempts; and a test of one."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.errors import NotFoundError
from llm_router.gateway.completions.accounts import milliseconds
from llm_router.gateway.deps import Services, require_allowance_of
from llm_router.gateway.mcp.results import data
from llm_router.gateway.mcp.tool import Call, Result, Tool
from llm_router.gateway.schemas.base import ShortText, StrictModel
from llm_router.management.probe import PROBE_PROMPT, PROBE_TOKENS
from llm_router.store.analytics import Analytics, Span
from llm_router.store.usage import UsageRecord
from llm_router.store.usage_figures import Figures

_MOST_LISTED = 100
_CHECKS = 5
_REPLY_ID = re.compile(r"(?:req_)?([0-9a-f]{32})")
_MOST_ATTEMPTS = 50

Name = Annotated[ShortText, Field(min_length=1, description="Name or id of a connection.")]


class NoArguments(StrictModel):
    pass


class OneConnection(StrictModel):
    connection: Name


class ReplyId(StrictModel):
    reply_id: Annotated[
        str, Field(max_length=100, description="As in a result, or the x-request-id of a reply.")
    ]


class Days(StrictModel):
    connection: Annotated[ShortText, Field(description="Empty: all of them.")] = ""
    days: Annotated[int, Field(ge=1, le=365)] = 1


class Prompt(StrictModel):
    connection: Name
    prompt: Annotated[str, Field(min_length=1, max_length=4_000)] = PROBE_PROMPT


async def _list_connections(call: Call) -> Result:
    return data(await board(call.services, call.actor))


async def board(services: Services, actor: Actor) -> Mapping[str, Any]:
    """Returns the connections that the actor may see, by priority, with their state."""
    page = await services.store.find(actor, Query(limit=_MOST_LISTED))
    listed = [_shown(connection) for connection in page.items]
    return {"connections": listed, "total": page.total}


def _shown(connection: Connection) -> dict[str, Any]:
    uses = ("livekit", "mcp", "automation")
    return {
        "name": connection.name,
        "id": connection.id,
        "model": connection.model_name,
        "pool": connection.pool,
        "priority": connection.priority,
        "active": connection.is_active,
        "drained": not connection.weight,
        "status": connection.status,
        "reason": connection.status_reason,
        "used_in": [use for use in uses if getattr(connection, f"use_in_{use}")],
    }


async def _health(call: Call) -> Result:
    connection = await call.connection()
    checks = await call.services.store.checks(call.actor, connection.id, limit=_CHECKS, offset=0)
    latest = [
        {
            "at": check.at.isoformat(timespec="seconds"),
            "kind": check.kind,
            "outcome": check.outcome,
            "latency_ms": milliseconds(check.latency),
            "detail": check.detail,
        }
        for check in checks.items
    ]
    return data({**_shown(connection), "checks": latest})


async def _why(call: Call) -> Result:
    return data(await receipt(call.services, call.actor, call.arguments.reply_id))


async def receipt(services: Services, actor: Actor, reply_id: str) -> Mapping[str, Any]:
    """Returns the attempts behind a reply, on connections that the actor may see.

    Raises NotFoundError where there is none.
    """
    found = _REPLY_ID.fullmatch(reply_id.strip())
    attempts = await Analytics(services.database).reply(actor, found[1]) if found else ()
    if not attempts:
        raise NotFoundError(
            "the usage log has no such reply for you; it has each one from a second after its end"
        )
    gave = [attempt.connection_name for attempt in attempts if attempt.delivered]
    costs = [attempt.cost for attempt in attempts if attempt.cost is not None]
    begin = attempts[0].at
    return {
        "reply_id": found[1] if found else "",
        "at": begin.isoformat(timespec="milliseconds"),
        "integration": attempts[0].integration,
        "answered_by": list(dict.fromkeys(gave)),
        "cost": sum(costs) if costs else None,
        "attempts": [_attempt(each, each.at - begin) for each in attempts[:_MOST_ATTEMPTS]],
    }


def _attempt(attempt: UsageRecord, after: timedelta) -> dict[str, Any]:
    return {
        "connection": attempt.connection_name,
        "model": attempt.model,
        "role": attempt.role,
        "outcome": attempt.outcome,
        "started_after_ms": milliseconds(after.total_seconds()),
        "first_word_ms": milliseconds(attempt.ttft),
        "duration_ms": milliseconds(attempt.duration),
        "tokens_in": attempt.tokens_in,
        "tokens_out": attempt.tokens_out,
        "tokens_are_estimated": attempt.is_estimated,
        "cost": attempt.cost,
    }


async def _usage(call: Call) -> Result:
    name = call.arguments.connection
    chosen = (await call.connection()).id if name else None
    now = call.services.now()
    span = Span(since=now - timedelta(days=call.arguments.days), until=now, connection_id=chosen)
    analytics = Analytics(call.services.database)
    found = await analytics.figures(call.actor, span, ["connection_id"])
    most = sorted(found.items(), key=lambda item: -item[1].attempts)[:_MOST_LISTED]
    names = await analytics.names([key[0] for key, _ in most])
    return data(
        {
            "since": span.begins.isoformat(),
            "until": span.ends.isoformat(),
            "connections": [
                {"name": names.get(key[0], ""), **_figures(figures)} for key, figures in most
            ],
        }
    )


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "replies": figures.outcomes.get("won", 0),
        "attempts": figures.attempts,
        "failed": figures.failed,
        "took_over": figures.failovers + figures.resumes + figures.hedges_won,
        "first_word_p50_ms": milliseconds(figures.ttft.get("p50")),
        "first_word_p95_ms": milliseconds(figures.ttft.get("p95")),
        "tokens_in": figures.tokens_in,
        "tokens_out": figures.tokens_out,
        "cost": round(figures.cost, 6),
    }


async def _test(call: Call) -> Result:
    connection = await call.connection()
    await require_allowance_of(call.services, call.actor)
    result = await call.services.prober.probe(
        call.actor, connection.id, call.arguments.prompt, max_tokens=PROBE_TOKENS
    )
    failure = result.failure
    return data(
        {
            "connection": connection.name,
            "works": failure is None,
            "failure": str(failure) if failure else None,
            "advice": failure.advice if failure else "",
            "notice": result.notice,
            "first_word_ms": milliseconds(result.first_word),
            "duration_ms": milliseconds(result.latency),
            "text": result.text,
        }
    )


TOOLS = (
    Tool(
        name="list_connections",
        description="List the connections to language models, with their state.",
        arguments=NoArguments,
        action="read",
        run=_list_connections,
    ),
    Tool(
        name="health",
        description="The status of a connection, its reason, and the latest checks.",
        arguments=OneConnection,
        action="read",
        run=_health,
    ),
    Tool(
        name="why",
        description="Which connections were asked for a reply, when, and what came of it.",
        arguments=ReplyId,
        action="read",
        run=_why,
    ),
    Tool(
        name="usage",
        description="Replies, failures, times to first word, tokens and cost, by connection.",
        arguments=Days,
        action="read",
        run=_usage,
    ),
    Tool(
        name="test",
        description="Ask a connection one short question, to see whether it works. Its status"
        " follows from it.",
        arguments=Prompt,
        action="test",
        run=_test,
        asks_servers=True,
    ),
)
