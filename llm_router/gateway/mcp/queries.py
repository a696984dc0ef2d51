"""Has connections answer: a tool for each of a few connections, or one tool for all of many."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from llm_router.connections.access import Actor, may_act
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.errors import NotFoundError
from llm_router.gateway.completions.accounts import milliseconds
from llm_router.gateway.completions.models import Choice, narrowed, usable_by
from llm_router.gateway.deps import Services, require_allowance_of
from llm_router.gateway.mcp.results import said
from llm_router.gateway.mcp.tool import Call, Result, Tool
from llm_router.gateway.schemas.base import ShortText, StrictModel
from llm_router.management.generate import Generated, generate, text_request

MOST_TOOLS = 5
"""Connections that have a tool each; where there are more, one tool takes the name."""
_MOST_NAME = 40
"""Characters of a connection in the name of its tool: clients allow 64, with a prefix of theirs."""
_MOST_TOKENS = 16_000


class Question(StrictModel):
    prompt: Annotated[str, Field(min_length=1, max_length=400_000)]
    system: Annotated[str, Field(max_length=100_000, description="Instructions.")] = ""
    max_tokens: Annotated[int | None, Field(ge=1, le=_MOST_TOKENS)] = None
    only: Annotated[bool, Field(description="No other connection answers in its place.")] = False


class NamedQuestion(Question):
    connection: Annotated[ShortText, Field(min_length=1, description="Name or id.")]


async def query_tools(services: Services, actor: Actor) -> list[Tool]:
    """Returns the tools that ask connections flagged `use_in_mcp`, as the actor may use them."""
    if not may_act(actor, "use"):
        return []
    query = Query(use_in_mcp=True, is_active=True, limit=None)
    page = await services.store.find(actor, query)
    usable = [c for c in page.items if _answers(c) and may_act(actor, "use", c)]
    if len(usable) <= MOST_TOOLS:
        return [
            _tool_of(name, connection)
            for name, connection in zip(_names(usable), usable, strict=True)
        ]
    return [
        Tool(
            name="query",
            description="Ask a model by the name of its connection (list_connections). If it fails"
            " or is late, another answers, and the result says which.",
            arguments=NamedQuestion,
            action="use",
            run=_query_named,
            asks_servers=True,
        )
    ]


def _answers(connection: Connection) -> bool:
    """Returns whether a connection can be asked something: neither rules nor embeddings can."""
    return connection.provider != "offline" and connection.serves == "chat"


def _tool_of(name: str, connection: Connection) -> Tool:
    model = f" ({connection.model_name})" if connection.model_name else ""

    async def run(call: Call) -> Result:
        return await _query(call, connection)

    return Tool(
        name=name,
        description=f"Ask {connection.name}{model}. If it fails or is late, another connection"
        " answers, and the result says which.",
        arguments=Question,
        action="use",
        run=run,
        asks_servers=True,
    )


def _names(connections: Sequence[Connection]) -> list[str]:
    """Returns the name of each one's tool: made of its own name, or of its id where that is not
    enough.
    """
    slugs = [re.sub(r"[^a-z0-9]+", "_", c.name.lower()).strip("_") for c in connections]
    uses = Counter(slug[:_MOST_NAME] for slug in slugs)
    return [
        f"query_{slug[:_MOST_NAME]}"
        if slug and uses[slug[:_MOST_NAME]] == 1
        else f"query_{re.sub('[^A-Za-z0-9_-]', '_', connection.id)[:_MOST_NAME]}"
        for slug, connection in zip(slugs, connections, strict=True)
    ]


async def _query_named(call: Call) -> Result:
    return await _query(call, await call.connection())


async def _query(call: Call, connection: Connection) -> Result:
    """Asks the connection, and the others where it has no answer in time."""
    await require_allowance_of(call.services, call.actor)
    router = await call.services.chat_router.get()
    usable = usable_by(call.actor, router.pool.endpoints, "mcp")
    named = [e for e in usable if e.connection.id == connection.id]
    if not named:
        raise NotFoundError(
            f"connection {connection.name!r} is not used in MCP: it is switched off, its flag"
            " use_in_mcp is off, or you may not use it"
        )
    question: Question = call.arguments
    choice = Choice(named if question.only else usable)
    request = text_request(question.prompt, system=question.system, max_tokens=question.max_tokens)
    asked = narrowed(request, choice, call.actor, router.options.total, "mcp")
    size = len(question.prompt) + len(question.system)
    with call.services.reply_places.taken(call.actor.key_id, size):
        answer = await generate(router, replace(asked, preferred=named[0].name))
    return said(answer.text, _account(answer, named[0].name))


def _account(answer: Generated, wanted: str) -> str:
    """Says who answered, and why it is another than was wanted."""
    model = f" ({answer.model})" if answer.model else ""
    text = f"Answered by {answer.connection}{model}"
    if answer.connection != wanted:
        failed = dict(answer.failures).get(wanted, "resting, after failures")
        text += f" in place of {wanted}, which was {failed}"
    first = milliseconds(answer.first_word)
    return f"{text}. First word after {first} ms. why(reply_id={answer.reply_id!r}) says more."
