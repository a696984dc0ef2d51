"""Says signs that espeak-ng drops or names, and removes what is left of markup."""

import functools
import re

from agent.speech.spoken_text.words import SPACE, Words, any_of


@functools.cache
def _signs(words: Words) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w/-])(?:{any_of(words.signs) or '(?!)'})(?![\w/-])")


_AND = re.compile(rf"(?<=\w){SPACE}?&{SPACE}?(?=\w)")
_NUMBER_SIGN = re.compile(r"(?<![\w#])#(?=\d|[A-Z]{1,4}(?:[,-]|\d))")
_ABOUT = re.compile(r"(?<!\S)[~≈] ?(?=\d)")
_TIMES = re.compile(r"(?<=\d) ?× ?(?=\d)")
_ARROW = re.compile(r" ?(?:→|⇒|->|=>) ?")
_MARKUP = re.compile(r"(?<!\d)\*{2,}(?!\d)|`+|[•▪◦™®©]")


def say_signs(text: str, words: Words) -> str:
    text = _signs(words).sub(lambda match: words.signs[match[0]], text)
    text = _AND.sub(f" {words.and_} ", text)
    text = _NUMBER_SIGN.sub(f"{words.number} ", text)
    text = _ABOUT.sub(f"{words.about} ", text)
    text = _TIMES.sub(f" {words.times} ", text)
    text = _ARROW.sub(", ", text)
    return _MARKUP.sub(_gap, text)


def _gap(mark: re.Match[str]) -> str:
    """Returns a space where the mark stood between two words."""
    around = (
        mark.string[max(0, mark.start() - 1) : mark.start()],
        mark.string[mark.end() : mark.end() + 1],
    )
    return " " if all(map(str.isalnum, around)) else ""
