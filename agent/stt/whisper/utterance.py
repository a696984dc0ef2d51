"""Holds an utterance while it is spoken: the audio yet to settle, and the words so far.

It is pure. The words of two decodes of growing audio that agree are taken as spoken (local
agreement: Macháček, Dabre and Bojar, "Turning Whisper into Real-Time Transcription System", 2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from livekit.local_inference import VAD_WINDOW_SAMPLES
from numpy.typing import NDArray

from agent.speech.gate import WINDOW_SECONDS
from agent.speech.hallucination import spoken_words
from agent.speech.process.models import Decoded, Word

_SENTENCE_ENDS = (".", "?", "!", "\N{IDEOGRAPHIC FULL STOP}", "\N{FULLWIDTH QUESTION MARK}")
_PHRASE_GAP = 0.2
"""Seconds between two words of different phrases."""
_WITHOUT_SPACES = frozenset(("zh", "yue", "ja", "th", "lo", "my"))
"""Languages that whisper writes without spaces between the words."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The audio of one decode: `windows` windows from the first that is not settled."""

    samples: NDArray[np.int16]
    windows: int
    before: str
    """The settled words before it."""


class Utterance:
    """Decides when to decode an utterance, and which words are settled."""

    FIRST = 0.6
    """Least seconds of audio before the first decode."""
    SPACING = 1.0
    """Least seconds of audio between the begins of two decodes."""
    LOAD = 6.0
    """Seconds of audio before a decode for each second that the last one took, be it that of the
    utterance before: words while the caller speaks take a sixth of the time, and leave it to the
    call's own work. Most turns then have no decode but that of their end, and it runs alone."""
    LONG = 8.0
    """Seconds of audio from which agreed words are settled, and their audio is dropped."""
    LONGEST = 11.0
    """Seconds of audio from which words are settled though no two decodes agreed on them."""
    SETTLES = 4.0
    """Seconds of audio that are settled as a whole when the caller goes on after a rest."""
    CONTEXT = 20
    """Settled words that a decode is given as what came before."""
    LAST = 1.0
    """Seconds at the end of the audio whose words may still change."""

    def __init__(self, language: str, took: float = 0.0) -> None:
        """`language`: whisper's code. `took`: seconds of the call's last decode."""
        self.seconds = 0.0
        """All audio so far, settled or not."""
        self.language = language
        self._audio = bytearray()
        self._speech: list[float] = []
        self._last_speech = 0
        self._settled: list[Word] = []
        self._words: tuple[Word, ...] = ()
        self._agreed = 0
        self._covered = 0
        self.took = took
        """Seconds of the last decode."""
        self._wait = max(self.FIRST, self.LOAD * took)
        self._decoded_at = 0.0

    def __repr__(self) -> str:
        return (
            f"<Utterance {self.seconds:.1f} s, {self._length:.1f} s not settled,"
            f" {len(self._settled)} words settled, {len(self._words)} more>"
        )

    @property
    def _length(self) -> float:
        return len(self._speech) * WINDOW_SECONDS

    def add(self, window: bytes, probability: float, *, is_speech: bool) -> None:
        """Adds a window of audio with its probability of speech."""
        self._audio += window
        self._speech.append(probability)
        self.seconds += WINDOW_SECONDS
        if is_speech:
            self._last_speech = len(self._speech)

    def is_due(self) -> bool:
        """Returns whether another decode is worth its work while the caller speaks."""
        return self.seconds - self._decoded_at >= self._wait

    def excerpt(self) -> Excerpt:
        """Returns the audio to decode now."""
        self._decoded_at = self.seconds
        before = join(self._settled[-self.CONTEXT :], self.language)
        return Excerpt(np.frombuffer(bytes(self._audio), np.int16), len(self._speech), before)

    def covers(self, excerpt: Excerpt) -> bool:
        """Returns whether nothing was said since the excerpt."""
        return excerpt.windows >= self._last_speech

    @property
    def is_covered(self) -> bool:
        """Whether the words so far are those of all speech."""
        return self._covered >= self._last_speech

    @property
    def is_long(self) -> bool:
        """Whether the next decode may settle words, and so is worth more."""
        return self._length >= self.LONG

    @property
    def is_too_long(self) -> bool:
        """Whether nothing may be added before a decode has settled words."""
        return self._length >= self.LONGEST

    def take(self, excerpt: Excerpt, decoded: Decoded, took: float) -> None:
        """Takes the words of an excerpt, whose decode took so many seconds."""
        words = spoken_words(decoded, self._speech[: excerpt.windows])
        self._agreed = _count_agreed(self._words, words)
        self._words = words
        self._covered = excerpt.windows
        self.took = took
        self._wait = max(self.SPACING, self.LOAD * took)
        length = excerpt.windows * WINDOW_SECONDS
        if length >= self.LONGEST:
            self._agreed = max(self._agreed, self._count_before(length - self.LAST))
        if length >= self.LONG:
            self._settle_agreed(length)
        if self.is_too_long:  # there are no words, or none that could be parted
            self._settle(len(self._words), excerpt.windows - int(self.LAST / WINDOW_SECONDS))

    def refuse(self) -> None:
        """Waits twice as long for the next decode, since the speech process is busy."""
        self._wait *= 2

    def resume(self) -> None:
        """Settles all words so far, if they are many, as the caller goes on after a rest."""
        if self.is_covered and self._length >= self.SETTLES:
            self._settle(len(self._words), len(self._speech))

    @property
    def text(self) -> str:
        """All words so far."""
        return join((*self._settled, *self._words), self.language)

    @property
    def agreed_text(self) -> str:
        """The words so far that two decodes agreed on."""
        return join((*self._settled, *self._words[: self._agreed]), self.language)

    @property
    def confidence(self) -> float:
        """Mean probability of the words, 0 to 1."""
        return mean_probability((*self._settled, *self._words))

    def _count_before(self, seconds: float) -> int:
        return sum(word.end < seconds for word in self._words)

    def _settle_agreed(self, length: float) -> None:
        """Settles the words up to the last sentence or pause among the agreed ones."""
        count = min(self._agreed, self._count_before(length - self.LAST))
        if not count:
            return
        ends = [at for at in range(1, count + 1) if _ends_phrase(self._words, at)]
        count = ends[-1] if ends else count
        end = self._words[count - 1].end
        following = self._words[count].start if count < len(self._words) else length
        self._settle(count, self._quietest(end - 0.1, following + 0.1))

    def _settle(self, count: int, cut: int) -> None:
        """Settles the first words, and drops the windows before `cut`."""
        self._settled += self._words[:count]
        moved = cut * WINDOW_SECONDS
        self._words = tuple(_earlier(word, moved) for word in self._words[count:])
        self._agreed = max(0, self._agreed - count)
        self._drop(cut)

    def _quietest(self, begin: float, end: float) -> int:
        """Returns the window between two times in which speech is least probable."""
        first = max(0, int(begin / WINDOW_SECONDS))
        places = range(first, max(first + 1, min(len(self._speech), int(end / WINDOW_SECONDS) + 1)))
        return min(places, key=lambda place: self._speech[place])

    def _drop(self, windows: int) -> None:
        del self._audio[: windows * VAD_WINDOW_SAMPLES * 2]
        del self._speech[:windows]
        self._last_speech = max(0, self._last_speech - windows)
        self._covered = max(0, self._covered - windows)


def join(words: Sequence[Word], language: str) -> str:
    """Returns the text of the words; `language` is whisper's code."""
    return ("" if language in _WITHOUT_SPACES else " ").join(word.text for word in words)


def mean_probability(words: Sequence[Word]) -> float:
    """Returns the mean probability of the words, 0 to 1; 0 without words."""
    return min(1.0, sum(word.probability for word in words) / max(1, len(words)))


def _count_agreed(before: Sequence[Word], words: Sequence[Word]) -> int:
    """Returns how many words at the begin are the same, marks and capitals aside."""
    count = 0
    for one, other in zip(before, words, strict=False):
        if one.plain != other.plain:
            break
        count += 1
    return count


def _ends_phrase(words: Sequence[Word], at: int) -> bool:
    """Returns whether a sentence or a pause ends before the word at this place."""
    last = words[at - 1]
    if at == len(words) or last.text.endswith(_SENTENCE_ENDS):
        return True
    return words[at].start - last.end >= _PHRASE_GAP


def _earlier(word: Word, seconds: float) -> Word:
    start, end = max(0.0, word.start - seconds), max(0.0, word.end - seconds)
    return replace(word, start=start, end=end)


def cut_in_pieces(speech: Sequence[float], longest: float = Utterance.LONGEST) -> list[int]:
    """Returns the windows at which to cut long audio: the quietest of each piece's last third.

    The first and the last window are among them; of no audio, the first alone.
    """
    most = int(longest / WINDOW_SECONDS)
    cuts = [0]
    while len(speech) - cuts[-1] > most:
        places = range(cuts[-1] + most * 2 // 3, cuts[-1] + most)
        cuts.append(min(places, key=lambda place: speech[place]))
    return [*cuts, len(speech)] if speech else cuts
