"""Has one connection write a text, for scripts and programs that hold no call.

The request goes through a router of that connection alone. Its limits, its budget and its flags
hold as in a call, and what it uses and costs is in the same usage log.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from llm_router.assembly import open_router
from llm_router.clock import Clock, Timer
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.errors import ConflictError, ReplyFailedError
from llm_router.management.opening import ConnectionOpener
from llm_router.net.guard import AddressGuard
from llm_router.options import RouterOptions
from llm_router.routing.events import Observer
from llm_router.routing.router import Router
from llm_router.store.database import Database
from llm_router.store.limits import SqlCounters
from llm_router.telemetry.usage import usage_logged
from llm_router.types import ChatRequest, Usage

IDLE_TIMEOUT = 10.0
"""Seconds after its last request until a router closes, and with it the key leaves the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A text and its costs. Times are in seconds since the request."""

    text: str
    connection: str
    model: str
    finish_reason: str
    usage: Usage | None = None
    """Tokens as the server counted them; None if it did not say."""
    first_word: float | None = None
    duration: float = 0.0
    reply_id: str = ""
    """By which the usage log has its attempts."""
    failures: Sequence[tuple[str, str]] = ()
    """Connections that failed at it, and how; another took over."""


@asynccontextmanager
async def open_single_router(
    connection: Connection,
    database: Database,
    *,
    observers: Sequence[Observer] = (),
    guard: AddressGuard | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Router]:
    """Opens a router over this connection and no other; `database` keeps its limits and budget.

    A reply may take as long as the connection's `timeout`: there is no spare to take over.
    """
    timeout = connection.timeout
    async with open_router(
        [connection],
        policy="priority",
        options=RouterOptions(text_deadline=timeout, stall=timeout, total=timeout),
        observers=observers,
        counters=SqlCounters(database),
        guard=guard,
        clock=clock,
    ) as router:
        yield router


async def generate(
    router: Router, request: ChatRequest, observers: Sequence[Observer] = ()
) -> Generated:
    """Returns the whole answer; `observers` observe this reply alone.

    Raises ReplyFailedError, with the reason, if there is none, and ConflictError if the connection
    was not even asked: switched off, at its limit, or out of budget.
    """
    text, usage, finish_reason = "", None, ""
    reply = router.stream(request, observers)
    try:
        async with aclosing(reply):
            async for chunk in reply:
                text += chunk.text
                usage = chunk.usage or usage
                finish_reason = chunk.finish_reason or finish_reason
    except ReplyFailedError as error:
        if reply.event.attempts:
            raise
        reasons = [f"connection {name!r} cannot be asked now: {why}" for name, why in error.reasons]
        raise ConflictError("; ".join(reasons)) from error
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
        reply_id=event.reply_id,
        failures=[(name, failure.kind) for name, failure in event.failures],
    )


def text_request(
    prompt: str,
    *,
    system: str = "",
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
) -> ChatRequest:
    """Returns the request of an automation: no voice waits for the answer."""
    instructions = [{"role": "system", "content": system}] if system else []
    return ChatRequest(
        messages=[*instructions, {"role": "user", "content": prompt}],
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        integration="automation",
    )


class TextGenerator:
    """Has stored connections write texts for actors; close it with the process.

    Each connection has a router of its own that stays open between requests, with its HTTP client
    and its limits, until it was idle for IDLE_TIMEOUT. One router over the whole
    store would hold the keys of all connections in memory at all times, and could neither heed the
    guard of each actor nor the timeout of each connection.

    The connection is read anew for each request. If it was edited or given a new key, a new router
    takes over at once, and the old one closes after the requests that it has.
    """

    def __init__(self, opener: ConnectionOpener, database: Database) -> None:
        self._opener = opener
        self._database = database
        self._clock = opener.clock
        self._current: dict[tuple[str, AddressGuard], _SharedRouter] = {}
        self._open: set[_SharedRouter] = set()

    async def generate(self, actor: Actor, connection_id: str, request: ChatRequest) -> Generated:
        """Returns the whole answer of this connection.

        Raises what `ConnectionOpener.open` and `generate` raise.
        """
        connection, guard = await self._opener.open(
            actor, connection_id, "generate", action="use", integration=actor.integration
        )
        request = replace(request, integration=actor.integration, api_key_id=actor.key_id)
        async with (
            self._router(connection, guard) as router,
            usage_logged(self._database, self._clock) as usage,
        ):
            return await generate(router, request, [usage])

    async def aclose(self) -> None:
        """Closes every router at once."""
        self._current.clear()
        if closing := [self._close(shared) for shared in self._open]:
            await asyncio.wait(closing)

    @asynccontextmanager
    async def _router(self, connection: Connection, guard: AddressGuard) -> AsyncIterator[Router]:
        shared = self._shared(connection, guard)
        shared.users += 1
        try:
            async with shared.opening:
                if shared.router is None:
                    opened = open_single_router(
                        connection, self._database, guard=guard, clock=self._clock
                    )
                    shared.router = await shared.stack.enter_async_context(opened)
            yield shared.router
        finally:
            shared.users -= 1
            self._after_use(shared)

    def _shared(self, connection: Connection, guard: AddressGuard) -> "_SharedRouter":
        key = connection.id, guard
        settings = _settings_of(connection)
        shared = self._current.get(key)
        if shared and shared.settings == settings:
            if shared.idle_timer:
                shared.idle_timer.cancel()
            return shared
        new = self._current[key] = _SharedRouter(key, settings)
        self._open.add(new)
        if shared and not shared.users:
            self._close(shared)
        return new

    def _after_use(self, shared: "_SharedRouter") -> None:
        if shared.users:
            return
        if shared.router and self._current.get(shared.key) is shared:
            shared.idle_timer = self._clock.call_at(
                self._clock.now() + IDLE_TIMEOUT, partial(self._close_idle, shared)
            )
        else:
            self._close(shared)

    def _close_idle(self, shared: "_SharedRouter") -> None:
        self._close(shared)

    def _close(self, shared: "_SharedRouter") -> "asyncio.Task[None]":
        if self._current.get(shared.key) is shared:
            del self._current[shared.key]
        if shared.idle_timer:
            shared.idle_timer.cancel()
        if shared.closing is None:
            shared.closing = asyncio.create_task(shared.stack.aclose(), name="close a router")
            shared.closing.add_done_callback(lambda _: self._open.discard(shared))
        return shared.closing


@dataclass(eq=False)
class _SharedRouter:
    """The router of one connection as it was set up at the time, and its users."""

    key: tuple[str, AddressGuard]
    settings: Connection = field(repr=False)
    users: int = 0
    router: Router | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    idle_timer: Timer | None = None
    closing: "asyncio.Task[None] | None" = None


def _settings_of(connection: Connection) -> Connection:
    """Returns the connection without the fields that change by use and by checks alone."""
    return replace(connection, status="untested", status_reason="", last_used_at=None)
