"""One connection asked by itself, for scripts and programs that want a text and no call.

It goes through a router of its own, so that limits, budgets and flags hold here as they do in a
call, and what it uses and costs stands in the same log.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from llm_router.assembly import open_router
from llm_router.clock import Clock
from llm_router.connections.record import Connection
from llm_router.errors import ConflictError, ReplyFailedError
from llm_router.net.guard import AddressGuard
from llm_router.options import RouterOptions
from llm_router.routing.events import Observer
from llm_router.routing.router import Router
from llm_router.store.database import Database
from llm_router.store.limits import SqlCounters
from llm_router.store.usage import UsageLog
from llm_router.telemetry.usage import UsageObserver
from llm_router.types import ChatRequest, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A text, and what it took. Times in seconds since it was asked for."""

    text: str
    connection: str
    model: str
    finish_reason: str
    usage: Usage | None = None
    """As the server counted it; None where it did not say."""
    first_word: float | None = None
    duration: float = 0.0


@asynccontextmanager
async def open_alone(
    connection: Connection,
    database: Database | None = None,
    *,
    guard: AddressGuard | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Router]:
    """A router over this connection and no other. Without a `database` it keeps no account.

    A reply may take as long as the connection's `timeout` says: nobody stands by to take over.
    """
    async with AsyncExitStack() as stack:
        observers: list[Observer] = []
        if database:
            usage = UsageObserver(UsageLog(database), clock)
            usage.start()
            stack.push_async_callback(usage.aclose)
            observers.append(usage)
        patient = RouterOptions(
            text_deadline=connection.timeout, stall=connection.timeout, total=connection.timeout
        )
        router = await stack.enter_async_context(
            open_router(
                [connection],
                policy="priority",
                options=patient,
                observers=observers,
                counters=SqlCounters(database) if database else None,
                guard=guard,
                clock=clock,
            )
        )
        yield router


async def generate(router: Router, request: ChatRequest) -> Generated:
    """The whole answer. Raises ReplyFailedError, with the reason, where there is none, and
    ConflictError where it was not even asked for: switched off, at its limit, out of budget.
    """
    text, usage, finish_reason = "", None, ""
    reply = router.stream(request)
    try:
        async with aclosing(reply):
            async for chunk in reply:
                text += chunk.text
                usage = chunk.usage or usage
                finish_reason = chunk.finish_reason or finish_reason
    except ReplyFailedError as error:
        if reply.event.attempts:
            raise
        said = [f"connection {name!r} cannot be asked now: {why}" for name, why in error.reasons]
        raise ConflictError("; ".join(said)) from error
    event = reply.event
    if event.last_resort and not event.connection:
        # The words that end half a reply are for a voice; here half a text is none.
        failures = [(name, str(failure)) for name, failure in event.failures]
        late = f"the answer was not whole after {event.duration:.1f} s"
        raise ReplyFailedError(failures or [(e.name, late) for e in router.pool.endpoints])
    return Generated(
        text=text,
        connection=event.connection,
        model=event.model,
        finish_reason=finish_reason,
        usage=usage,
        first_word=event.first_word,
        duration=event.duration,
    )


def text_request(
    prompt: str,
    *,
    system: str = "",
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
) -> ChatRequest:
    """A question of an automation: no voice waits for the answer."""
    told = [{"role": "system", "content": system}] if system else []
    return ChatRequest(
        messages=[*told, {"role": "user", "content": prompt}],
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        integration="automation",
    )
