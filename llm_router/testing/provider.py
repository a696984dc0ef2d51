"""A provider that plays scripts in place of a model, without a network."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from llm_router.clock import Clock, SystemClock
from llm_router.connections.record import Continuation
from llm_router.types import ChatRequest, Chunk

FOREVER = float("inf")
_LONGEST_WAIT = 365 * 86_400.0
"""A wait of `FOREVER` lasts a year (s): a timer at infinity would stop a `ManualClock`."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a script: waits `after` seconds, then yields `chunk` or raises `error`.

    A step without both only waits.
    """

    after: float = 0.0
    chunk: Chunk | None = None
    error: Exception | None = None


HANG = Step(after=FOREVER)
"""A step that never ends: the stream hangs until it is closed."""


def say(
    text: str, *, first: float = 0.15, gap: float = 0.02, finish: str | None = "stop"
) -> list[Step]:
    """Makes the steps that stream a text word by word.

    `first`: time to the first word (s); `gap`: time between two words (s); `finish`: the finish
    reason, or None to leave the end to further steps.
    """
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1].rstrip(" ")
    steps = [Step(first if i == 0 else gap, Chunk(text=word)) for i, word in enumerate(words)]
    return steps if finish is None else [*steps, Step(0.0, Chunk(finish_reason=finish))]


def fail(error: Exception, after: float = 0.0) -> list[Step]:
    """Makes the steps that raise `error` after `after` seconds."""
    return [Step(after, error=error)]


@dataclass
class ScriptedProvider:
    """A `Provider` that answers each request with the next of its `scripts`.

    The last script answers all further requests. Time passes on `clock`.
    """

    scripts: Sequence[Sequence[Step]]
    continuation: Continuation = "words"
    last_resort: bool = False
    clock: Clock = field(default_factory=SystemClock)
    probe_step: Step = Step()
    """The step that a probe plays: a wait, an error, or nothing."""
    requests: list[ChatRequest] = field(default_factory=list)
    """The requests received so far."""
    open: int = 0
    """Number of streams and probes that have not ended."""
    probes: int = 0
    """Number of probes received."""
    warmed: int = 0
    """Number of calls of `warm`."""
    closed: bool = False

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        self.requests.append(request)
        self.open += 1
        try:
            for step in script:
                if step.after:
                    await self.clock.sleep(min(step.after, _LONGEST_WAIT))
                if step.error:
                    # The error is raised once a reply: drop the traceback of earlier replies.
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
            await self.clock.sleep(min(self.probe_step.after, _LONGEST_WAIT))
        finally:
            self.open -= 1
        if self.probe_step.error:
            raise self.probe_step.error.with_traceback(None)

    async def models(self) -> Sequence[str]:
        return ["scripted"]

    async def aclose(self) -> None:
        self.closed = True
