"""Tells words that were spoken from words that a model makes up of noise.

It is pure. The thresholds part twenty sounds without speech, whose probability of no speech is 0.5
and more, from eight short words in five voices, clean, quiet and through a telephone, whose is
mostly less.
"""

from collections.abc import Sequence

from agent.speech.gate import WINDOW_SECONDS
from agent.speech.process.models import Decoded, Word

_NO_SPEECH = 0.5
"""Probability of no speech from which words need more evidence."""
_PLAUSIBLE = -1.3
"""Mean log probability of the tokens above which the words count if a detector found speech."""
_LONG = 2.0
"""Seconds of speech in which a model is sure of some words, unless it is a crowd that speaks."""
_NO_SPEECH_IN_LONG = 0.45
"""`_NO_SPEECH` of long speech. It is 0.4 at most for people beside noise 5 dB below them."""
_SURE = -0.6
"""Mean log probability of the tokens above which the words of long speech count."""
_DOUBTFUL = 0.4
"""Probability of no speech from which a phrase that models make up needs more evidence."""
_UNSURE = -1.2
"""Mean log probability below which the model guesses."""
_IS_SPEECH = 0.5
_ENOUGH = 0.25
"""Part of the windows in which a detector must find speech to outweigh a model that does not."""
_PER_LETTER = 0.15
"""Seconds of speech above which a letter has more than a slow speaker gives it."""
_FASTEST = 0.03
"""Seconds that the fastest speaker gives a letter: a knock is too short for "Thank you"."""
_PHRASES = frozenset(
    (
        "bye",
        "goodbye",
        "im sorry",
        "so",
        "thank you",
        "thank you for watching",
        "thank you very much",
        "thanks for watching",
        "the",
        "you",
    )
)
"""Phrases, without marks, that whisper makes up of noise; people say some of them, too."""


def spoken_words(decoded: Decoded, speech: Sequence[float] | None = None) -> tuple[Word, ...]:
    """Returns the words that somebody spoke: all of them, or none.

    `speech`: probability of speech in each window of the audio, from a detector of voices; None
    where there is none, and then the model needs to be surer.
    """
    words = tuple(word for word in decoded.words if word.plain)
    if not words:
        return ()
    certainty = decoded.average_log_probability
    speaking = [chance >= _IS_SPEECH for chance in speech or ()]
    seconds = sum(speaking) * WINDOW_SECONDS
    if seconds > _LONG and decoded.no_speech >= _NO_SPEECH_IN_LONG:
        return words if certainty >= _SURE else ()
    if decoded.no_speech >= _NO_SPEECH:
        detected = sum(speaking) > _ENOUGH * len(speaking)
        has_time = len(speaking) * WINDOW_SECONDS >= _letters(words) * _FASTEST
        return words if detected and has_time and certainty >= _PLAUSIBLE else ()
    if decoded.no_speech >= _DOUBTFUL and certainty < _UNSURE and _phrase(words) in _PHRASES:
        # Speech that lasts much longer than the phrase is a crowd, or a song.
        return words if 0 < seconds <= _letters(words) * _PER_LETTER else ()
    return words


def _letters(words: Sequence[Word]) -> int:
    return sum(len(word.plain) for word in words)


def _phrase(words: Sequence[Word]) -> str:
    return " ".join(word.plain for word in words)
