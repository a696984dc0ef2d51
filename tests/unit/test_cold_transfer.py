"""A cold transfer is judged by its final state, and never announced as failed while it succeeds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agent.phone.transfer.cold import Report, transfer_cold
from agent.phone.transfer.verdict import Verdict
from llm_router.testing import ManualClock
from llm_router.voice.phone.outcomes import Outcome


@dataclass
class Line:
    """A caller's line. `after`: seconds until LiveKit reports; `leaves`: until the caller goes."""

    outcome: Outcome = Outcome.ANSWERED
    after: float = 5.0
    is_definite: bool = True
    leaves: float = 3600.0
    fails: bool = False
    held: list[bool] = field(default_factory=list)

    @asynccontextmanager
    async def on_hold(self) -> AsyncIterator[None]:
        self.held.append(True)
        yield
        self.held.append(False)

    async def caller_left(self) -> None:
        await asyncio.sleep(self.leaves)  # noqa: TID251  the loop's time jumps

    async def refer(self) -> Report:
        await asyncio.sleep(self.after)  # noqa: TID251
        if self.fails:
            raise OSError("away")
        return Report(outcome=self.outcome, is_definite=self.is_definite)


def judged(line: Line) -> tuple[Verdict, float]:
    clock = ManualClock()

    async def main() -> tuple[Verdict, float]:
        return await transfer_cold(line, clock), clock.now()

    verdict, took = clock.run(main())
    assert line.held == [True, False]
    return verdict, took


def test_a_person_who_answers_has_the_caller() -> None:
    ended, at = judged(Line())
    assert ended is Verdict.TRANSFERRED
    assert at == pytest.approx(5.0)


def test_a_telephone_that_leaves_once_it_was_asked_to_has_been_transferred() -> None:
    """Some carriers hang up as soon as they have accepted the transfer, and report nothing more."""
    line = Line(Outcome.NO_ANSWER, after=40.0, leaves=2.0)
    ended, at = judged(line)
    assert ended is Verdict.TRANSFERRED
    assert at == pytest.approx(5.0)
    assert judged(Line(fails=True, after=2.5, leaves=2.0))[0] is Verdict.TRANSFERRED


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Outcome.BUSY, Verdict.BUSY),
        (Outcome.DECLINED, Verdict.DECLINED),
        (Outcome.NO_ANSWER, Verdict.NO_ANSWER),
        (Outcome.INVALID, Verdict.FAILED),
        (Outcome.FAILED, Verdict.FAILED),
    ],
)
def test_a_failure_is_announced_with_its_reason_and_not_before_ten_seconds(
    outcome: Outcome, verdict: Verdict
) -> None:
    ended, at = judged(Line(outcome, after=1.0))
    assert ended is verdict
    assert at == pytest.approx(10.0)
    ended, at = judged(Line(outcome, after=14.0))
    assert ended is verdict
    assert at == pytest.approx(14.0)


def test_a_transfer_of_which_livekit_lost_track_is_a_success_if_the_caller_goes() -> None:
    lost = Line(Outcome.NO_ANSWER, after=10.0, is_definite=False, leaves=12.0)
    ended, at = judged(lost)
    assert ended is Verdict.TRANSFERRED
    assert at == pytest.approx(12.0)
    stays = Line(Outcome.NO_ANSWER, after=10.0, is_definite=False)
    ended, at = judged(stays)
    assert ended is Verdict.NO_ANSWER
    assert at == pytest.approx(13.0)


def test_a_transfer_that_livekit_cannot_make_leaves_the_caller_with_the_agent() -> None:
    ended, at = judged(Line(fails=True, after=0.1))
    assert ended is Verdict.FAILED
    assert at == pytest.approx(10.0)
