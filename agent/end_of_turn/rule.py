"""Decides how long a silence must last to be the end of a turn. It is pure."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("unfinished.toml")
_GOES_ON = ("...", "…", ",", "-", "–", "—", ":", "、", "，")
"""Marks with which a recogniser writes a sentence that goes on."""
_QUOTES = "\"'»«“”()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Bounds of the silence (s) that ends a turn."""

    least: float
    most: float


def silence_needed(
    probability: float, threshold: float, words: str | None, language: str, delays: Delays
) -> float:
    """Returns the silence (s), counted from the caller's last sound, that ends the turn.

    `probability`: of an end, by the sound alone; from `threshold` on it sounds like one. `words`:
    those of the turn, in a language tag such as `en`; None if they are not known.

    A sentence that cannot end with its last word gets the most. Else the less it sounds like an
    end, the longer: the detector finds 55 of 100 ends of our callers' sentences within 0.2 s of
    silence, and takes 25 of 100 places within them for an end, so that a step at the threshold
    would make every second caller wait for the most.
    """
    if words is not None and is_unfinished(words, language):
        return delays.most
    doubt = max(0.0, 1 - probability / threshold)
    return delays.least + doubt * (delays.most - delays.least)


def is_unfinished(words: str, language: str) -> bool:
    """Returns whether a sentence hardly ends here: "I would like to", "on Monday or".

    A question mark ends a sentence, whatever its last word is: "Who did you talk to?". Languages
    without a list in `unfinished.toml` are judged by the marks alone.
    """
    words = words.rstrip()
    if words.endswith(_GOES_ON):
        return True
    if words.rstrip(_QUOTES).endswith(("?", "？")):
        return False
    last = words.rpartition(" ")[2].lower().replace("’", "'").strip(f".!{_QUOTES}")
    return last in _words().get(language.replace("_", "-").partition("-")[0].lower(), ())


@functools.cache
def _words() -> Mapping[str, frozenset[str]]:
    lists = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {language: frozenset(words.split()) for language, words in lists.items()}
