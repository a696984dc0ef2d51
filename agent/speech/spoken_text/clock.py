"""Says times of day: espeak-ng reads 9:00 as "nine zero zero"."""

import functools
import re

from agent.speech.spoken_text.words import SPACE, Words, any_of

_HOURS = 24
_NOON = 12
_HALF = r"(?i:[ap]\.?m\.?)"


def say_times(text: str, words: Words) -> str:
    def say(match: re.Match[str]) -> str:
        hour, minute = int(match["hour"]), int(match["minute"])
        if hour > _HOURS:
            return match[0]
        if words.halves:
            return _in_halves(match, hour, minute, words)
        return _form(hour, minute, words)

    def say_letter(match: re.Match[str]) -> str:
        return _form(int(match["hour"]), int(match["minute"] or 0), words)

    if words.letter:
        text = _letter(words).sub(say_letter, text)
    return _time(words).sub(say, text)


def _form(hour: int, minute: int, words: Words) -> str:
    form = words.part if minute else words.one if words.one and hour == 1 else words.full
    return form.format(h=hour, m=minute)


def _in_halves(match: re.Match[str], hour: int, minute: int, words: Words) -> str:
    """Says a time of a day with two halves. One that is read rightly stays as it is."""
    half = match["half"] or ""
    if not half:
        if 0 < hour <= _NOON and minute == 0:
            return words.full.format(h=hour)
        if hour in {0, _HOURS} or hour > _NOON:
            half = words.halves[1 if _NOON < hour < _HOURS else 0]
            hour = (hour - 1) % _NOON + 1
    if minute == 0:
        return f"{hour} {half}"
    if minute < 10:  # noqa: PLR2004  two digits
        return f"{hour} {words.zero} {minute} {half}".rstrip()
    return f"{hour}:{minute} {half}".rstrip()


@functools.cache
def _time(words: Words) -> re.Pattern[str]:
    marks = rf"(?:{SPACE}?(?:{any_of(words.marks)})(?!\w))?" if words.marks else ""
    half = rf"(?:{SPACE}?(?P<half>{_HALF})(?!\w))?" if words.halves else ""
    dotted = rf"|(?:\.(?=\d\d{SPACE}?(?:{any_of(words.marks)})(?!\w)))" if words.marks else ""
    return re.compile(
        rf"(?<![\w:.,])(?P<hour>\d{{1,2}})(?::{dotted})(?P<minute>[0-5]\d)(?!\d|:\d|[.,]\d)"
        rf"{half}{marks}"
    )


@functools.cache
def _letter(words: Words) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w:.,])(?P<hour>\d{{1,2}}){SPACE}?{words.letter}"
        rf"(?:{SPACE}?(?P<minute>[0-5]\d))?(?![\w/])"
    )
