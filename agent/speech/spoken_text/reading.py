"""Applies the rules of this package in their order."""

from agent.speech.spoken_text.abbreviations import say_abbreviations
from agent.speech.spoken_text.addresses import say_addresses
from agent.speech.spoken_text.calendar import say_dates
from agent.speech.spoken_text.clock import say_times
from agent.speech.spoken_text.codes import say_codes
from agent.speech.spoken_text.quantities import (
    say_fractions,
    say_money,
    say_ranges,
    say_units,
)
from agent.speech.spoken_text.signs import say_signs
from agent.speech.spoken_text.words import words_of

_RULES = (
    say_addresses,  # first: no other rule may change a part of one
    say_units,  # before abbreviations: "min." is minutes after a number
    say_dates,  # before abbreviations as well: "Fr." in "Mo.-Fr." is a day
    say_abbreviations,
    say_codes,
    say_ranges,  # after dates and phone numbers, whose dashes are no ranges
    say_money,
    say_times,
    say_fractions,
    say_signs,
)
_ROUNDS = 4
"""The first does nearly everything; a second mends what came together in it, such as "$€5"."""


def spoken_text(text: str, language: str) -> str:
    """Writes the text as it is read aloud in a language such as "en" or "en-GB".

    A language without words here gets its text back. No word is lost or said twice: only signs are
    dropped, and the `https://` of an address. Never raises; takes time in proportion to the text.
    A text in which nothing is left to change is returned as it is, so changing it twice is once.
    """
    words = words_of(language)
    if words is None:
        return text
    spoken = text
    for _ in range(_ROUNDS):
        before = spoken
        for rule in _RULES:
            spoken = rule(spoken, words)
        if spoken == before:
            break
    return spoken if spoken.strip() else text  # an engine that makes no sound has failed
