"""Tells words that a model repeats from words that a speaker repeats, by the time they take."""

from collections.abc import Sequence

from agent.speech.process.models import Word

_PER_LETTER = 0.045
"""Seconds that a fast speaker takes for a letter."""
_SHORTEST_WORD = 0.1
_DIGIT = 0.15
_SQUEEZED = 0.5
"""Part of the time that a fast speaker needs, below which no word was spoken."""
_AGAIN = 0.2
"""Least seconds for each time that somebody says one short word over and over."""
_USUAL = 0.35
"""Seconds for each time, where a model did not find the end and its count means nothing."""
_PILED = 3
"""Words at one moment, the last of the audio, that cannot have been spoken."""
_MOMENT = 0.04


def without_loops(words: Sequence[Word]) -> tuple[Word, ...]:
    """Leaves out copies of the last words for which there was no time.

    A model that does not find the end of its text repeats it until it is stopped: then many words
    share the last moments of the audio.
    """
    words = _without_pile(words)
    texts = [word.plain for word in words]
    for length in range(1, len(texts) // 2 + 1):
        begin = _begin_of_run(texts, length)
        if len(texts) - begin >= 2 * length:
            return tuple(words[: begin + _spoken(words[begin:], length)])
    return tuple(words)


def _without_pile(words: Sequence[Word]) -> Sequence[Word]:
    """Leaves out the words that begin in the last moment, if they are many."""
    piled = 0
    while piled < len(words) and words[-piled - 1].start >= words[-1].end - _MOMENT:
        piled += 1
    return words[: len(words) - piled] if piled >= _PILED else words


def _begin_of_run(texts: Sequence[str], length: int) -> int:
    """Returns where the words begin that repeat every `length` words until the end."""
    begin = len(texts) - length
    while begin > 0 and texts[begin - 1] == texts[begin - 1 + length]:
        begin -= 1
    return begin


def _spoken(run: Sequence[Word], length: int) -> int:
    """Returns how many words of a run were spoken; its first copy always was."""
    if length == 1:  # the times of equal words are no good one by one, so the whole run counts
        needed = _needed(run[0])
        seconds = run[-1].end - run[0].start
        if len(run) * max(_AGAIN, needed) <= seconds:
            return len(run)
        return min(len(run), max(1, round(seconds / max(_USUAL, needed))))
    for begin in range(length, len(run), length):
        copy = run[begin : begin + length]
        spoken = sum(_needed(word) for word in copy)
        if copy[-1].end - run[begin - 1].end < _SQUEEZED * spoken:
            return begin
    return len(run)


def _needed(word: Word) -> float:
    if word.plain.isdigit():
        return _DIGIT * len(word.plain)
    return max(_SHORTEST_WORD, _PER_LETTER * len(word.plain))
