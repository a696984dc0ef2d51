"""How long planned calls wait for a set-up that is at fault."""

from agent.phone.faults import FaultPause


def test_each_fault_after_a_try_doubles_the_pause_up_to_a_minute() -> None:
    pause, now, lengths = FaultPause(), 100.0, []
    for _ in range(6):
        assert pause.may_try(now)
        lengths.append(pause.failed("no trunk", now))
        assert not pause.may_try(now + lengths[-1] - 0.1)
        now += lengths[-1]
    assert lengths == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_several_numbers_that_meet_one_fault_count_once() -> None:
    pause = FaultPause()
    assert [pause.failed("no trunk", at) for at in (0.0, 1.0, 4.0)] == [5.0, 4.0, 1.0]
    assert pause.failed("no agent", 5.0) == 10.0
    assert pause.reason == "no agent"


def test_a_number_that_gets_through_ends_the_pause() -> None:
    pause = FaultPause()
    pause.failed("no trunk", 0.0)
    pause.worked()
    assert (pause.may_try(0.1), pause.reason) == (True, "")
    assert pause.failed("no trunk", 1.0) == 5.0
