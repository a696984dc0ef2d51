"""A worker shows that it has its calls, from their claim on, and hands them on one by one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.survival.requests import CallRequests
from agent.survival.worker_watch import WorkerWatch
from llm_router.testing import ManualClock
from llm_router.voice.calls import Call, CallAgent, CallFacts


@dataclass
class Calls:
    """The store of calls, which is slow at first; `late`: seconds for the first claim."""

    clock: ManualClock
    late: float = 0.0
    claimed: dict[str, Call] = field(default_factory=dict)
    beats: dict[str, list[float]] = field(default_factory=dict)

    async def claim(
        self, room: str, epoch: int, agent: CallAgent, now: datetime, facts: CallFacts
    ) -> Call:
        late, self.late = self.late, 0.0
        call = Call(
            id=room, room=room, epoch=epoch, agent=agent.identity, job=agent.job,
            last_beat=now, started_at=now, updated_at=now, metadata=facts.metadata,
        )  # fmt: skip
        self.claimed[room] = call
        await self.clock.sleep(late)
        return call

    async def beat(self, worker: str, epochs: Mapping[str, int], now: datetime) -> set[str]:
        for call in epochs:
            self.beats.setdefault(call, []).append(self.clock.now())
        return set(epochs)


class Pool:
    """The call processes of a worker that has none yet."""

    processes: list[Any] = []  # noqa: RUF012  none is ever added

    def on(self, event: str, listener: object) -> None:
        """Has no events."""

    off = on


class Rescuer:
    async def aclose(self, within: float = 0.0) -> None:
        """Has nothing under way."""


def request(room: str) -> Any:
    return SimpleNamespace(
        id=f"AJ_{room}",
        room=SimpleNamespace(name=room, sid="RM_1"),
        job=SimpleNamespace(metadata=""),
    )


def beats_while_a_process_starts(late: float) -> tuple[list[float], Call]:
    """Returns the beats of a call whose process takes 10 s to start, and the call."""
    clock = ManualClock()
    calls = Calls(clock, late)

    async def start(_: object, __: str) -> None:
        await clock.sleep(10.0)

    async def main() -> None:
        requests = CallRequests("desk", "w", clock, start)
        requests.calls = calls  # type: ignore[assignment]  # the parts that it uses
        watch = WorkerWatch(
            SimpleNamespace(_proc_pool=Pool()),  # type: ignore[arg-type]  # the part that it uses
            requests,
            calls,  # type: ignore[arg-type]  # the parts that it uses
            Rescuer(),  # type: ignore[arg-type]  # the part that it uses
            boxes=lambda process: Path(f"/nonexistent/{process}"),
            clock=clock,
            worker="w",
        )
        async with watch, asyncio.timeout(20):
            await requests.answer(request("r"))

    clock.run(main())
    return calls.beats["r"], calls.claimed["r"]


def test_a_call_shows_signs_of_life_while_its_process_is_being_started() -> None:
    beats, _ = beats_while_a_process_starts(late=0.0)
    assert max(b - a for a, b in zip([0.0, *beats], [*beats, 10.0], strict=True)) < 0.6


def test_a_call_whose_claim_was_answered_too_late_is_claimed_again() -> None:
    beats, call = beats_while_a_process_starts(late=5.0)
    assert beats[0] <= 1.5
    assert call.metadata["agent_name"] == "desk"
