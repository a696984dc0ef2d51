"""Draws whole calls at random, plays them on a jumping clock, and records everything that happened.

A schedule is one router, its endpoints with the behaviour of each at every request, and callers who
ask at the same time and one after another. The same seed and number draw the same schedule.
`invariants.py` checks the record.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from llm_router.clock import checkpoint
from llm_router.connections.record import Connection, Continuation
from llm_router.errors import ReplyFailedError
from llm_router.options import RouterOptions
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.routing.policies import latency, priority
from llm_router.routing.pool import Pool
from llm_router.routing.router import Router
from llm_router.testing import ManualClock, Step
from llm_router.types import ChatRequest, Chunk
from tests.scenarios import acts
from tests.scenarios.acts import Act

RESORT_WORDS = "Nobody can answer you now."


@dataclass(frozen=True, kw_only=True)
class Part:
    """An endpoint: its connection, and its behaviour, request after request.

    `character`: `innocent` answers quickly, or refuses a request that is the caller's own fault;
    `rock` always answers well; `flaky` answers every third request of a reply well, and the others
    with a fault that passes; `any` does anything.
    """

    connection: Connection
    continuation: Continuation
    acts: tuple[Act, ...]
    character: str = "any"
    last_resort: bool = False


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A request and the behaviour of its reader. Times in seconds."""

    request: ChatRequest
    answer: str
    pause: float
    """Seconds before it is asked."""
    cancel_after: float | None = None
    leave_after: int | None = None
    """Chunks after which the reader leaves the loop."""
    dawdles: float = 0.0
    """Pause of the reader between two chunks (s)."""

    @property
    def id(self) -> str:
        return question_id(self.request)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A simulated run: a router, its endpoints and its callers."""

    parts: tuple[Part, ...]
    calls: tuple[tuple[Turn, ...], ...]
    options: RouterOptions
    policy: str


@dataclass(kw_only=True)
class Visit:
    """A request that reached an endpoint."""

    part: Part
    request: ChatRequest
    opened_at: float
    closed_at: float | None = None


@dataclass(kw_only=True)
class TurnResult:
    """The chunks that the reader of one turn received, and the events that its observer got."""

    turn: Turn
    asked_at: float
    chunks: list[Chunk] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    error: Exception | None = None
    was_cut: bool = False
    """Cancelled, or left by its reader."""
    cut_at: float = 0.0
    ended_at: float = 0.0
    attempts: list[AttemptEvent] = field(default_factory=list)
    attempted_at: list[float] = field(default_factory=list)
    replies: list[ReplyEvent] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def timed(self) -> Iterator[tuple[float, Chunk]]:
        """Each chunk after its time (s from the question)."""
        return zip(self.at, self.chunks, strict=True)


@dataclass(kw_only=True, repr=False)
class Record:
    """Everything that happened in one run."""

    schedule: Schedule
    results: list[TurnResult]
    endpoints: Sequence[Endpoint]
    unclosed: int
    """Streams open when the router was closed."""
    tasks_left: int


def question_id(request: ChatRequest) -> str:
    words: str = request.messages[0]["content"]
    return words.split(" ", 1)[0]


# ── Drawing ───────────────────────────────────────────────────────────────────────────────────────


def draw(seed: str) -> Schedule:
    rng = Random(seed)
    if rng.random() < 0.15:
        return _flaky_schedule(rng)
    with_rock = rng.random() < 0.4
    most = 3 if with_rock else 5
    parts = [_part(rng, index) for index in range(rng.randint(1, most))]
    if with_rock:
        at = rng.randrange(len(parts))
        parts[at] = _rock(rng, parts[at])
    if rng.random() < 0.3:
        parts.append(_last_resort())
    options = RouterOptions(
        max_attempts=4 if with_rock else rng.randint(1, 6),
        max_resumes=2 if with_rock else rng.randint(0, 5),
        move_on_refused_content=with_rock or rng.random() < 0.7,
        hedge_budget=rng.choice([0.0, 0.05, 0.2]),
    )
    schedule = Schedule(
        parts=tuple(parts),
        calls=_calls(rng),
        options=options,
        policy=rng.choice(["latency", "priority"]),
    )
    return replace(schedule, parts=tuple(_with_retries(rng, part) for part in parts))


def _with_retries(rng: Random, part: Part) -> Part:
    if part.character == "rock" or part.last_resort:
        return part
    retries = rng.choice([None, None, None, 0, 1, 3])
    return replace(part, connection=replace(part.connection, max_retries=retries))


def _part(rng: Random, index: int) -> Part:
    innocent = rng.random() < 0.25
    first = rng.uniform(0.02, 0.18)
    faults = acts.INNOCENT if innocent else acts.ALL
    drawn = [acts.draw(rng, faults) for _ in range(rng.randint(1, 4))]
    if innocent:
        drawn = [replace(act, first=first, gap=min(act.gap, 0.05)) for act in drawn]
    connection = Connection(
        name=chr(97 + index),
        priority=rng.randint(0, 3),
        server=rng.choice(["one", "two"]),
        hedge="never" if rng.random() < 0.15 else "allowed",
        context_length=rng.choice([None, None, 100, 1000]),
        supports_tools=rng.random() < 0.85,
        is_active=rng.random() < 0.95,
    )
    return Part(
        connection=connection,
        continuation=rng.choice(["words", "words", "flags", "trailing", "prefix", "partial"]),
        acts=tuple(drawn),
        character="innocent" if innocent else "any",
    )


def _rock(rng: Random, part: Part) -> Part:
    connection = replace(
        part.connection, server="rock", context_length=None, supports_tools=True, is_active=True
    )
    act = replace(acts.draw(rng, ("none",)), first=0.2, gap=0.02)
    return replace(part, connection=connection, acts=(act,), character="rock")


def _flaky(rng: Random, part: Part) -> Part:
    connection = replace(
        part.connection,
        context_length=None,
        supports_tools=True,
        is_active=True,
        server=part.connection.name,
    )
    bad = [replace(acts.draw(rng, acts.PASSING), gap=0.02) for _ in range(2)]
    good = replace(acts.draw(rng, ("none",)), first=0.15, gap=0.02)
    return replace(part, connection=connection, acts=(*bad, good), character="flaky")


def _flaky_schedule(rng: Random) -> Schedule:
    """One endpoint or two that fail most requests; with or without a last resort."""
    parts = [_flaky(rng, _part(rng, index)) for index in range(rng.randint(1, 2))]
    if rng.random() < 0.3:
        parts.append(_last_resort())
    options = RouterOptions(hedge_budget=rng.choice([0.0, 0.05, 0.2]))
    return Schedule(
        parts=tuple(parts),
        calls=_calls(rng),
        options=options,
        policy=rng.choice(["latency", "priority"]),
    )


def _calls(rng: Random) -> tuple[tuple[Turn, ...], ...]:
    return tuple(
        tuple(_turn(rng, f"q{call}.{turn}", f"call {call}") for turn in range(rng.randint(1, 4)))
        for call in range(rng.choice([1, 1, 2, 3]))
    )


def _last_resort() -> Part:
    connection = Connection(name="resort", priority=-1)
    return Part(connection=connection, continuation="words", acts=(), last_resort=True)


def _turn(rng: Random, name: str, session: str) -> Turn:
    padding = "x" * rng.choice([0, 0, 0, 400])
    speech = rng.random() < 0.7
    tools = [{"type": "function", "function": {"name": "lookup"}}] if rng.random() < 0.3 else []
    request = ChatRequest(
        messages=[{"role": "user", "content": f"{name} {padding}"}],
        tools=tools,
        speech=speech,
        language=rng.choice(["en", "de", "ja"]),
        session_id=session if rng.random() < 0.8 else "",
        first_word_deadline=rng.uniform(0.3, 2.0) if rng.random() < 0.1 else None,
        total_deadline=rng.uniform(0.5, 5.0) if rng.random() < 0.1 else None,
    )
    turn = Turn(request=request, answer=acts.answer(rng), pause=rng.choice([0.0, 0.3, 1.0, 3.0]))
    match rng.randrange(8):
        case 0 | 1:
            return replace(
                turn, cancel_after=rng.choice([0.0, rng.uniform(0, 1), rng.uniform(0, 6)])
            )
        case 2:
            return replace(turn, leave_after=rng.randint(1, 8))
        case 3:
            return replace(turn, dawdles=rng.choice([0.01, 0.3]))
    return turn


# ── Playing ───────────────────────────────────────────────────────────────────────────────────────


class Actor:
    """The provider of one part. Counts its open streams and records each request with its turn."""

    def __init__(self, part: Part, results: dict[str, TurnResult], clock: ManualClock) -> None:
        self.continuation = part.continuation
        self.last_resort = part.last_resort
        self.open = 0
        self._part = part
        self._results = results
        self._clock = clock
        self._visits = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        result = self._results[question_id(request)]
        visit = Visit(part=self._part, request=request, opened_at=self._clock.now())
        result.visits.append(visit)
        self._visits += 1
        self.open += 1
        try:
            for step in self._steps(request, result.turn.answer):
                if step.after:
                    await self._clock.sleep(min(step.after, 365 * 86_400))
                if step.error:
                    raise step.error.with_traceback(None)  # the same object is raised many times
                if step.chunk:
                    yield step.chunk
        finally:
            self.open -= 1
            visit.closed_at = self._clock.now()

    def _steps(self, request: ChatRequest, answer: str) -> Iterator[Step]:
        if self.last_resort:
            return iter(acts.words(RESORT_WORDS))
        turn = self._results[question_id(request)]
        is_flaky = self._part.character == "flaky"
        visit = (len(turn.visits) if is_flaky else self._visits) - 1
        act = self._part.acts[visit % len(self._part.acts)]
        call_id = f"{self._part.connection.name}{self._visits}"
        return acts.perform(act, answer, request, self.continuation, call_id)

    async def warm(self) -> None:
        """Nothing to open."""

    async def probe(self) -> None:
        """Always healthy."""

    async def models(self) -> Sequence[str]:
        return []

    async def aclose(self) -> None:
        """Nothing to close."""


class _TurnObserver:
    """The observer of one turn."""

    def __init__(self, result: TurnResult, clock: ManualClock) -> None:
        self._result = result
        self._clock = clock

    def attempt_ended(self, event: AttemptEvent) -> None:
        self._result.attempts.append(event)
        self._result.attempted_at.append(self._clock.now())

    def reply_ended(self, event: ReplyEvent) -> None:
        self._result.replies.append(event)


def play(schedule: Schedule) -> Record:
    clock = ManualClock(deadlock_after=0.0)
    return clock.run(_play(schedule, clock))


async def _play(schedule: Schedule, clock: ManualClock) -> Record:
    results: dict[str, TurnResult] = {}
    actors = [Actor(part, results, clock) for part in schedule.parts]
    endpoints = [
        Endpoint(part.connection, actor, schedule.options.breaker)
        for part, actor in zip(schedule.parts, actors, strict=True)
    ]
    policy = {"latency": latency, "priority": priority}[schedule.policy].create()
    router = Router(Pool(endpoints, policy, schedule.options.target), schedule.options, clock=clock)
    await asyncio.gather(*(_call(router, turns, results, clock) for turns in schedule.calls))
    await router.aclose()
    await checkpoint()  # for the callbacks of the tasks that ended last
    return Record(
        schedule=schedule,
        results=list(results.values()),
        endpoints=endpoints,
        unclosed=sum(actor.open for actor in actors),
        tasks_left=len(asyncio.all_tasks()) - 1,
    )


async def _call(
    router: Router, turns: Sequence[Turn], results: dict[str, TurnResult], clock: ManualClock
) -> None:
    for turn in turns:
        await clock.sleep(turn.pause)
        one = results[turn.id] = TurnResult(turn=turn, asked_at=clock.now())
        reading = asyncio.create_task(_read(router, one, clock))
        await asyncio.wait({reading}, timeout=turn.cancel_after)
        if not reading.done():
            one.was_cut = True
            one.cut_at = clock.now()
            reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        one.ended_at = clock.now()


async def _read(router: Router, result: TurnResult, clock: ManualClock) -> None:
    turn = result.turn
    try:
        async with aclosing(
            router.stream(turn.request, observers=[_TurnObserver(result, clock)])
        ) as reply:
            async for chunk in reply:
                result.chunks.append(chunk)
                result.at.append(clock.now() - result.asked_at)
                if len(result.chunks) == turn.leave_after:
                    result.was_cut = True
                    result.cut_at = clock.now()
                    break
                if turn.dawdles:
                    await clock.sleep(turn.dawdles)
    except ReplyFailedError as error:
        result.error = error


def describe(record: Record) -> str:
    """Describes the schedule and its results for the reader of a failed check."""
    lines = [f"{record.schedule.options}", f"policy {record.schedule.policy}"]
    for part in record.schedule.parts:
        c = part.connection
        lines.append(
            f"{c.name}: {part.character}, continues by {part.continuation}, priority {c.priority}, "
            f"server {c.server!r}, hedge {c.hedge}, context {c.context_length}, "
            f"tools {c.supports_tools}, active {c.is_active}, retries {c.max_retries}, "
            f"last resort {part.last_resort}"
        )
        lines += [f"  {act}" for act in part.acts]
    for result in record.results:
        lines.append(f"{result.turn}")
        lines.append(
            f"  asked at {result.asked_at:.3f}, cut {result.was_cut}, error {result.error!r}"
        )
        lines += [f"  {at:.3f} {_short(chunk)}" for at, chunk in result.timed]
        lines += [
            f"  {e.connection} ({e.role}) {e.started_at:.3f} to {at:.3f}: {e.failure or e.outcome}"
            for at, e in zip(result.attempted_at, result.attempts, strict=True)
        ]
    return "\n".join([*lines, *map(repr, record.endpoints)])


def _short(chunk: Chunk) -> dict[str, Any]:
    fields = ("text", "tool_calls", "finish_reason", "usage", "connection")
    return {name: value for name in fields if (value := getattr(chunk, name))}
