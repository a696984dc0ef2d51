"""A provider that does what its script says, without a network."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from llm_router.clock import Clock, SystemClock
from llm_router.connections.record import Continuation
from llm_router.types import ChatRequest, Chunk

FOREVER = float("inf")
_A_YEAR = 365 * 86_400.0
"""Stands for ever: a timer at infinity would never let time jump."""


@dataclass(frozen=True, slots=True)
class Step:
    """After `after` seconds, give out a chunk, raise an error, or (with neither) do nothing."""

    after: float = 0.0
    chunk: Chunk | None = None
    error: Exception | None = None


HANG = Step(after=FOREVER)


def say(
    text: str, *, first: float = 0.15, gap: float = 0.02, finish: str | None = "stop"
) -> list[Step]:
    """The text word by word; `finish=None` leaves the stream open-ended for more steps."""
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1].rstrip(" ")
    steps = [Step(first if i == 0 else gap, Chunk(text=word)) for i, word in enumerate(words)]
    return steps if finish is None else [*steps, Step(0.0, Chunk(finish_reason=finish))]


def fail(error: Exception, after: float = 0.0) -> list[Step]:
    return [Step(after, error=error)]


@dataclass
class ScriptedProvider:
    """One script for each request in turn; the last one serves all that follow.

    `requests` are those received; `open` counts streams and probes that have not ended.
    """

    scripts: Sequence[Sequence[Step]]
    continuation: Continuation = "words"
    last_resort: bool = False
    clock: Clock = field(default_factory=SystemClock)
    probe_step: Step = Step()
    """What a probe meets: a wait, an error, or nothing."""
    requests: list[ChatRequest] = field(default_factory=list)
    open: int = 0
    probes: int = 0
    warmed: int = 0
    closed: bool = False

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        self.requests.append(request)
        self.open += 1
        try:
            for step in script:
                if step.after:
                    await self.clock.sleep(min(step.after, _A_YEAR))
                if step.error:
                    # One object for all replies: without the traceback of those before.
                    raise step.error.with_traceback(None)
                if step.chunk:
                    yield step.chunk
        finally:
            self.open -= 1

    async def warm(self) -> None:
        self.warmed += 1

    async def probe(self) -> None:
        self.probes += 1
        self.open += 1
        try:
            await self.clock.sleep(min(self.probe_step.after, _A_YEAR))
        finally:
            self.open -= 1
        if self.probe_step.error:
            raise self.probe_step.error.with_traceback(None)

    async def models(self) -> Sequence[str]:
        return ["scripted"]

    async def aclose(self) -> None:
        self.closed = True
