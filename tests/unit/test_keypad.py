"""Tests how a caller's keys become fields, whatever their times."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.phone.keypad import KEYS, Ending, Entry, FieldRules, Keypad

PIN = FieldRules(minimum=4, maximum=4)
NUMBER = FieldRules(minimum=3, maximum=12)


def typed(keypad: Keypad, keys: str, at: float = 0.0, every: float = 0.1) -> float:
    for key in keys:
        keypad.press(key, at)
        at += every
    return at


def test_a_field_ends_with_its_last_key() -> None:
    keypad = Keypad()
    keypad.open(PIN, 0.0)
    typed(keypad, "123")
    assert keypad.ended(0.3) is None
    keypad.press("4", 0.4)
    assert keypad.ended(0.4) == Entry(Ending.COMPLETE, "1234")
    assert not keypad.is_open


def test_a_field_ends_with_its_terminator_or_a_pause() -> None:
    keypad = Keypad()
    keypad.open(NUMBER, 0.0)
    typed(keypad, "12345#")
    assert keypad.ended(0.6) == Entry(Ending.COMPLETE, "12345")
    keypad.open(NUMBER, 1.0)
    end = typed(keypad, "678", at=1.0) - 0.1
    assert keypad.due == end + NUMBER.next_within
    assert keypad.ended(end + NUMBER.next_within - 0.01) is None
    assert keypad.ended(end + NUMBER.next_within) == Entry(Ending.COMPLETE, "678")


def test_a_field_that_ends_too_early_says_so() -> None:
    keypad = Keypad()
    keypad.open(NUMBER, 0.0)
    typed(keypad, "12#")
    assert keypad.ended(0.3) == Entry(Ending.TOO_SHORT, "12")


def test_a_first_key_is_awaited_from_the_end_of_the_prompt() -> None:
    keypad = Keypad()
    keypad.open(NUMBER, 0.0)
    assert keypad.due is None
    assert keypad.ended(1000.0) is None
    keypad.wait(1000.0)
    assert keypad.ended(1009.9) is None
    assert keypad.ended(1010.0) == Entry(Ending.NOTHING)


def test_keys_typed_ahead_fill_the_next_fields() -> None:
    keypad = Keypad()
    typed(keypad, "1234#567#9")
    keypad.open(PIN, 20.0)
    assert keypad.ended(20.0) == Entry(Ending.COMPLETE, "1234")
    keypad.open(NUMBER, 30.0)
    assert keypad.ended(30.0) == Entry(Ending.COMPLETE, "567")
    assert keypad.take_unasked() == "9"


def test_a_terminator_after_a_full_field_is_not_taken_for_the_next_one() -> None:
    keypad = Keypad()
    keypad.open(PIN, 0.0)
    typed(keypad, "1234#")
    assert keypad.ended(0.5) == Entry(Ending.COMPLETE, "1234")
    keypad.open(FieldRules(maximum=1, terminator=""), 1.0)
    assert keypad.ended(1.0) is None
    keypad.press("#", 1.1)
    assert keypad.ended(1.1) == Entry(Ending.COMPLETE, "#")


def test_keys_of_a_field_that_was_given_up_wait_for_the_next_one() -> None:
    keypad = Keypad()
    keypad.open(NUMBER, 0.0)
    typed(keypad, "12")
    keypad.close()
    keypad.press("3", 0.5)
    keypad.open(NUMBER, 1.0)
    assert keypad.typed == "123"


def test_words_end_a_field_without_a_key_and_no_other() -> None:
    keypad = Keypad()
    keypad.open(NUMBER, 0.0)
    keypad.spoken()
    assert keypad.ended(0.0) == Entry(Ending.SPOKEN)
    keypad.open(NUMBER, 1.0)
    keypad.press("1", 1.0)
    keypad.spoken()
    assert keypad.ended(1.0) is None


def test_keys_that_no_field_asks_for_wait_until_they_are_taken() -> None:
    keypad = Keypad()
    assert keypad.unasked_since is None
    typed(keypad, "2", at=5.0)
    assert keypad.unasked_since == 5.0
    assert keypad.take_unasked() == "2"
    assert keypad.unasked_since is None


@pytest.mark.parametrize("key", ["", "12", "E", "ä", "\0", " "])
def test_what_is_no_key_is_ignored(key: str) -> None:
    keypad = Keypad()
    keypad.press(key, 0.0)
    assert keypad.take_unasked() == ""


def test_a_flood_of_keys_is_bounded() -> None:
    keypad = Keypad()
    typed(keypad, "1" * 10_000)
    assert len(keypad.take_unasked()) == 64


# ── Every key counts once ────────────────────────────────────────────────────────────────────────

RULES = st.builds(
    FieldRules,
    minimum=st.integers(0, 3),
    maximum=st.integers(3, 6),
    terminator=st.sampled_from(["", "#", "*"]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("press"), st.sampled_from(KEYS)),
        st.tuples(st.just("open"), RULES),
        st.tuples(st.sampled_from(["look", "close", "wait", "spoken", "take"]), st.none()),
    ),
    max_size=80,
)


@dataclass
class Played:
    """Plays steps at any times, and collects in order what came out."""

    keypad: Keypad = field(default_factory=Keypad)
    out: str = ""
    pressed: str = ""
    terminators: set[str] = field(default_factory=set)

    def step(self, action: str, value: Any, now: float) -> None:
        match action:
            case "press":
                self.pressed += value
                self.keypad.press(value, now)
            case "open" if not self.keypad.is_open:
                self.terminators.add(value.terminator)
                self.keypad.open(value, now)
            case "close":
                self.keypad.close()
            case "wait":
                self.keypad.wait(now)
            case "spoken":
                self.keypad.spoken()
            case "take" if not self.keypad.is_open:
                self.out += self.keypad.take_unasked()
        if entry := self.keypad.ended(now):
            self.out += entry.keys

    def finish(self) -> None:
        self.keypad.close()
        self.out += self.keypad.take_unasked()


@given(STEPS, st.lists(st.floats(0, 12), min_size=80, max_size=80))
def test_each_key_comes_out_once_and_in_order_at_any_timing(
    steps: list[tuple[str, Any]], pauses: list[float]
) -> None:
    played, now = Played(), 0.0
    for (action, value), pause in zip(steps, pauses, strict=False):
        now += pause
        if played.pressed and len(played.pressed) - len(played.out) > 60:
            break
        played.step(action, value, now)
    played.finish()
    left = iter(played.pressed)
    missing = ""
    for key in played.out:
        for candidate in left:
            if candidate == key:
                break
            missing += candidate
        else:
            raise AssertionError(f"{key} came out of turn")
    missing += "".join(left)
    assert set(missing) <= played.terminators


@given(st.text(KEYS, min_size=1, max_size=20), st.lists(st.floats(0, 3.9), min_size=20))
def test_a_field_has_every_key_that_was_pressed_in_time(keys: str, pauses: list[float]) -> None:
    keypad, now = Keypad(), 0.0
    keypad.open(FieldRules(maximum=len(keys), terminator=""), now)
    for key, pause in zip(keys, pauses, strict=False):
        now += pause
        assert keypad.ended(now) is None
        keypad.press(key, now)
    assert keypad.ended(now) == Entry(Ending.COMPLETE, keys)
