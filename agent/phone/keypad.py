"""Sorts the keys that a caller presses into fields. Pure: times (s) are given.

Each key counts once: it goes to the field that is open, or waits for the next one. So no key is
lost that comes while the agent speaks, thinks, or has not asked yet.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

KEYS = "0123456789*#ABCD"
"""Keys of a telephone, each at the place of its code in RFC 4733."""
_MOST_WAITING = 64
"""Keys that wait; the oldest of more are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRules:
    """The rules of one field: how many keys it takes, and when it ends. Times are in seconds."""

    minimum: int = 1
    maximum: int = 20
    terminator: str = "#"
    """Key that ends the field and is no part of it; empty: none does."""
    first_within: float = 10.0
    """Time for the first key."""
    next_within: float = 4.0
    """Time for each further key; then the field ends with what it has."""
    words_end: bool = True
    """Whether words in place of the first key end the field."""


class Ending(StrEnum):
    """The way in which a field has ended."""

    COMPLETE = "complete"
    TOO_SHORT = "too short"
    NOTHING = "nothing"
    SPOKEN = "spoken"
    """The caller has spoken, and pressed nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The keys of a field that has ended."""

    ending: Ending
    keys: str = ""


class Keypad:
    """The keys of one caller."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque(maxlen=_MOST_WAITING)
        self._rules: FieldRules | None = None
        self._typed = ""
        self._last = 0.0
        """Time of the last key."""
        self._patient_from: float | None = None
        """Time from which the first key is awaited; None: the prompt is still being said."""
        self._entry: Entry | None = None
        self._echo = ""
        """Terminator that may follow a field that was full already."""
        self._echo_until = 0.0

    @property
    def is_open(self) -> bool:
        return self._rules is not None

    @property
    def typed(self) -> str:
        """The keys of the open field so far."""
        return self._typed

    def press(self, key: str, now: float) -> None:
        """Takes a key. Anything that is no key of a telephone is ignored."""
        key = key.upper()  # LiveKit has small letters
        if len(key) != 1 or key not in KEYS:
            return
        echo, self._echo = self._echo, ""
        if echo == key and now <= self._echo_until:
            return
        self._last = now
        if self._rules is None or self._entry:
            self._waiting.append(key)
        else:
            self._take(key, self._rules, now)

    def open(self, rules: FieldRules, now: float) -> None:
        """Opens a field, which takes the keys that wait. `wait` starts its time for the first."""
        self._rules, self._typed, self._entry = rules, "", None
        self._last, self._patient_from = now, None
        while self._waiting and self._entry is None:
            self._take(self._waiting.popleft(), rules, now)
        if self._echo and self._waiting and self._waiting[0] == self._echo:
            self._waiting.popleft()
            self._echo = ""

    def wait(self, now: float) -> None:
        """Starts the time for the first key, once the prompt is said."""
        self._patient_from = now

    def spoken(self) -> None:
        """Ends a field that has no key: the caller has answered with words."""
        rules = self._rules
        if rules and rules.words_end and not self._typed and self._entry is None:
            self._entry = Entry(Ending.SPOKEN)

    def ended(self, now: float) -> Entry | None:
        """Returns the field's entry and closes it, if it has ended."""
        rules = self._rules
        if rules is None:
            return None
        due = self.due
        if self._entry is None and due is not None and now >= due:
            self._entry = self._cut(rules)
        entry = self._entry
        if entry:
            self._rules, self._entry, self._typed = None, None, ""
        return entry

    def close(self) -> None:
        """Closes a field that has not ended; its keys wait for the next one."""
        if self._rules:
            keys = self._entry.keys if self._entry else self._typed
            self._waiting.extendleft(reversed(keys))
            self._rules, self._entry, self._typed = None, None, ""

    @property
    def due(self) -> float | None:
        """Time at which the open field ends if no key is pressed until then; None: never."""
        if self._rules is None:
            return None
        if self._typed:
            return self._last + self._rules.next_within
        if self._patient_from is None:
            return None
        return self._patient_from + self._rules.first_within

    def take_unasked(self) -> str:
        """Returns the keys that wait for no field, and forgets them."""
        keys = "".join(self._waiting)
        self._waiting.clear()
        return keys

    @property
    def unasked_since(self) -> float | None:
        """Time of the last key that waits while no field is open; None: there is none."""
        return self._last if self._waiting and self._rules is None else None

    def _take(self, key: str, rules: FieldRules, now: float) -> None:
        if key == rules.terminator:
            self._entry = self._cut(rules)
            return
        self._typed += key
        if len(self._typed) >= rules.maximum:
            self._entry = self._cut(rules)
            self._echo, self._echo_until = rules.terminator, now + rules.next_within

    def _cut(self, rules: FieldRules) -> Entry:
        typed = self._typed
        if not typed and rules.minimum:
            return Entry(Ending.NOTHING)
        is_whole = len(typed) >= rules.minimum
        return Entry(Ending.COMPLETE if is_whole else Ending.TOO_SHORT, typed)
