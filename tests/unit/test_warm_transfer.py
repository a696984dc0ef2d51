"""A warm transfer has exactly one end, and the caller always has the agent or the person."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.phone.transfer.steps import End, Event, Step, WarmTransfer, decision_in
from agent.phone.transfer.warm import transfer_warm
from llm_router.testing import ManualClock

E = Event
UNANSWERED = {
    E.BUSY: End.BUSY,
    E.REJECTED: End.DECLINED,
    E.RANG_OUT: End.NO_ANSWER,
    E.UNREACHABLE: End.FAILED,
}
OUTSIDE = [E.KEY_ACCEPT, E.KEY_DECLINE, E.WORD_ACCEPT, E.WORD_DECLINE, E.PERSON_LEFT, E.CALLER_LEFT]
"""Events that are not the end of a step, and so may come at any time."""


# ── The decisions ────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.tuples(st.sampled_from(Event), st.floats(0.0, 30.0)), max_size=30))
def test_whatever_happens_a_transfer_has_one_end_and_takes_no_step_after_it(
    happened: Sequence[tuple[Event, float]],
) -> None:
    course, now, steps = WarmTransfer(0.0), 0.0, list[Step]()
    for event, pause in happened:
        now += pause
        course.on_time(now)
        before = course.end
        if step := course.on(event, now):
            steps.append(step)
        assert before is None or (course.end is before and step is None)
    while course.end is None:  # without any event, time alone ends it
        now = course.until
        course.on_time(now)
    assert now <= 100.0 + sum(pause for _, pause in happened)
    assert steps in ([], [Step.BRIEF], [Step.BRIEF, Step.CONNECT])
    assert (course.end is not End.CONNECTED) or steps[-1] is Step.CONNECT


@given(st.lists(st.sampled_from(Event), max_size=12))
def test_caller_and_person_are_connected_only_after_a_yes(happened: Sequence[Event]) -> None:
    course = WarmTransfer(0.0)
    connected_by = [event for event in happened if course.on(event, 1.0) is Step.CONNECT]
    assert set(connected_by) <= {E.KEY_ACCEPT, E.WORD_ACCEPT}


def test_a_yes_at_pick_up_is_a_greeting_and_after_the_briefing_an_answer() -> None:
    course = WarmTransfer(0.0)
    assert course.on(E.ANSWERED, 1.0) is Step.BRIEF
    assert course.on(E.WORD_ACCEPT, 2.0) is None
    course.on(E.BRIEFED, 8.0)
    assert course.on(E.WORD_ACCEPT, 9.0) is Step.CONNECT


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("Yes.", E.WORD_ACCEPT),
        ("Okay, yes please", E.WORD_ACCEPT),
        ("No, yes, I mean no", E.WORD_DECLINE),
        ("I cannot take it now, no", E.WORD_DECLINE),
        ("Yesterday", None),
        ("Hello?", None),
        ("", None),
        ("You have reached the mailbox of Ann, please say yes after the tone", None),
    ],
)
def test_only_short_answers_decide(words: str, meaning: Event | None) -> None:
    assert decision_in(words, ["yes", "okay"], ["no", "not now"]) is meaning


# ── The loop around them ─────────────────────────────────────────────────────────────────────────


@dataclass
class Scene:
    """A stage on which the person does what a script says, some seconds after the answer."""

    dialled: Event = E.ANSWERED
    ring: float = 3.0
    later: Sequence[tuple[float, Event]] = ()
    can_connect: bool = True
    done: list[str] = field(default_factory=list)
    attends: str = "agent"
    """The one whom the caller has: agent or person."""

    def __post_init__(self) -> None:
        self._post: Callable[[Event], None] = lambda _: None

    @asynccontextmanager
    async def observed(self, post: Callable[[Event], None]) -> AsyncIterator[None]:
        self._post = post
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(at, post, event) for at, event in self.later]
        yield
        for timer in timers:
            timer.cancel()

    async def hold(self) -> None:
        self.done.append("hold")

    async def dial(self) -> Event:
        await asyncio.sleep(self.ring)  # noqa: TID251  the loop's time jumps
        return self.dialled

    async def brief(self) -> None:
        self.done.append("brief")
        await asyncio.sleep(5.0)  # noqa: TID251

    async def connect(self) -> None:
        if not self.can_connect:
            raise OSError("LiveKit is away")
        self.done.append("connect")
        self.attends = "person"

    async def part(self) -> None:
        self.done.append("part")
        self.attends = "agent"


def played(scene: Scene, ways: int = 1) -> tuple[End, float]:
    clock = ManualClock()

    async def main() -> tuple[End, float]:
        return await transfer_warm(scene, clock, ways), clock.now()

    return clock.run(main())


@pytest.mark.parametrize(("dialled", "end"), UNANSWERED.items())
def test_a_person_who_does_not_answer_leaves_the_caller_with_the_agent(
    dialled: Event, end: End
) -> None:
    scene = Scene(dialled)
    ended, at = played(scene)
    assert ended is end
    assert at == pytest.approx(3.0)
    assert (scene.done, scene.attends) == (["hold", "part"], "agent")


@pytest.mark.parametrize(("dialled", "end"), [*UNANSWERED.items(), (E.ANSWERED, End.PERSON_LEFT)])
def test_a_line_that_is_gone_before_livekit_says_why_is_not_taken_for_one_that_rang_out(
    dialled: Event, end: End
) -> None:
    scene = Scene(dialled, later=[(2.9, E.PERSON_LEFT)])
    ended, at = played(scene)
    assert ended is end
    assert at == pytest.approx(3.0)
    assert "brief" not in scene.done


def test_a_line_that_is_gone_of_which_livekit_says_nothing_brings_the_caller_back_soon() -> None:
    scene = Scene(ring=3600.0, later=[(3.0, E.PERSON_LEFT)])
    end, at = played(scene)
    assert end is End.NO_ANSWER
    assert at == pytest.approx(5.0)


def test_a_person_who_accepts_gets_the_caller() -> None:
    scene = Scene(later=[(9.0, E.KEY_ACCEPT)])
    assert played(scene)[0] is End.CONNECTED
    assert (scene.done, scene.attends) == (["hold", "brief", "connect"], "person")


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (E.KEY_DECLINE, End.DECLINED),
        (E.PERSON_LEFT, End.PERSON_LEFT),
        (E.CALLER_LEFT, End.CALLER_LEFT),
    ],
)
@pytest.mark.parametrize("at", [4.0, 9.0])
def test_a_person_who_declines_and_either_side_that_leaves_end_it(
    event: Event, end: End, at: float
) -> None:
    scene = Scene(later=[(at, event)])
    ended, at = played(scene)
    assert ended is end
    assert at == pytest.approx(at)
    assert scene.done == ["hold", "brief", "part"]


def test_a_machine_that_says_neither_yes_nor_no_does_not_get_the_caller() -> None:
    scene = Scene()
    end, took = played(scene)
    assert (end, scene.attends) == (End.NOT_ACCEPTED, "agent")
    assert took < 25.0


def test_a_line_that_never_answers_livekit_brings_the_caller_back() -> None:
    scene = Scene(ring=3600.0)
    end, took = played(scene)
    assert (end, scene.attends) == (End.NO_ANSWER, "agent")
    assert took <= 26.0


def test_each_trunk_has_its_time_to_ring_and_to_say_so() -> None:
    scene = Scene(ring=3 * 24.0, later=[(3 * 24.0 + 6.0, E.KEY_ACCEPT)])
    assert played(scene, ways=3)[0] is End.CONNECTED


def test_a_connection_that_cannot_be_made_brings_the_caller_back() -> None:
    scene = Scene(later=[(9.0, E.KEY_ACCEPT)], can_connect=False)
    assert played(scene)[0] is End.FAILED
    assert scene.attends == "agent"


@given(
    st.sampled_from([E.ANSWERED, *UNANSWERED]),
    st.lists(st.tuples(st.floats(0.0, 60.0), st.sampled_from(OUTSIDE)), max_size=8),
)
def test_in_any_order_of_events_the_caller_has_agent_or_person(
    dialled: Event, later: Sequence[tuple[float, Event]]
) -> None:
    scene = Scene(dialled, later=later)
    end, _ = played(scene)
    assert scene.attends == ("person" if end is End.CONNECTED else "agent")
    assert scene.done.count("part") == (end is not End.CONNECTED)


def test_a_call_that_ends_in_the_middle_hangs_up_on_the_person() -> None:
    clock, scene = ManualClock(), Scene()

    async def main() -> None:
        running = asyncio.create_task(transfer_warm(scene, clock))
        await clock.sleep(5.0)
        running.cancel()
        await asyncio.wait({running})

    clock.run(main())
    assert scene.done == ["hold", "brief", "part"]
