"""Gathers the words of a message, and decides when it is over. Pure: times (s) are given."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DictationRules:
    """Times (s) of a message that a caller speaks."""

    first_within: float = 8.0
    """Silence at its beginning after which it is over."""
    pause: float = 4.0
    """Silence after words that ends it."""
    noise: float = 25.0
    """Time for which sound that passes for speech, but has no words, counts as speech."""
    longest: float = 120.0


class Dictation:
    """The words of one message so far. `earlier`: those that an agent before has taken."""

    def __init__(self, rules: DictationRules, now: float, earlier: str = "") -> None:
        self._rules = rules
        self._began = now
        self._parts = [earlier] if earlier else []
        self._unfinished = ""
        self._active_at: float | None = None
        """Time at which the last words came, or the last speech ended."""
        self._voice_since: float | None = None
        self._voice = 0.0

    def words(self, text: str, now: float, *, is_final: bool) -> None:
        """Takes words; those that are not final replace each other until the final ones."""
        text = " ".join(text.split())
        if is_final:
            self._unfinished = ""
            if text:
                self._parts.append(text)
        else:
            self._unfinished = text
        if text:
            self._active_at = now

    def voice(self, now: float, *, is_speaking: bool) -> None:
        """Notes that the caller begins or stops to make a sound of speech."""
        if is_speaking:
            self._voice_since = now
        elif self._voice_since is not None:
            self._voice += now - self._voice_since
            self._voice_since, self._active_at = None, now

    def is_over(self, now: float) -> bool:
        rules = self._rules
        if now - self._began >= rules.longest:
            return True
        if self._voice_since is not None:
            # On a noisy line the sound of speech never ends.
            return now - max(self._voice_since, self._active_at or 0.0) >= rules.noise
        if self._active_at is None:
            return now - self._began >= rules.first_within
        return now - self._active_at >= rules.pause

    @property
    def text(self) -> str:
        return " ".join([*self._parts, *filter(None, [self._unfinished])])

    def voiced(self, now: float) -> float:
        """Returns the seconds for which the caller has made a sound of speech."""
        running = 0.0 if self._voice_since is None else now - self._voice_since
        return self._voice + running
