"""Stall detection: the moment at which another endpoint must take over a reply that has begun."""

from llm_router.failures import Failure, FailureClass
from llm_router.options import RouterOptions
from llm_router.routing.attempt import Attempt
from llm_router.routing.hedge import long_pause, usual_pause
from llm_router.routing.speech import SpeechClock
from llm_router.types import ChatRequest


class StallDetector:
    """Works out when the next words of one reply are due. Reads no clock.

    A reader of text bears a pause of `RouterOptions.stall`. A voice bears silence upstream for as
    long as it still has words to say, less the time that a spare needs to take over.
    """

    def __init__(self, request: ChatRequest, options: RouterOptions) -> None:
        self._is_spoken = request.speech
        self._options = options
        self._speech = SpeechClock(request.language, options.voice_speed)
        self._lead: float | None = None
        self._has_spare = False

    def take_over(self, lead: float | None, now: float, *, has_spare: bool = True) -> None:
        """Starts afresh for a new speaker; its predecessor's pauses are not counted against it.

        `lead`: seconds that a successor needs for its first word; None: there is none.
        `has_spare`: False where only the speaker's own endpoint could.
        """
        self._lead = lead
        self._has_spare = has_spare
        self._speech.take_over(now)

    def feed(self, text: str, now: float) -> bool:
        """Records words given out. Returns whether they complete a clause; of a text that is read,
        only the first counts.
        """
        if self.is_speaking and not self._is_spoken:
            return False
        return self._speech.feed(text, now)

    @property
    def silent_from(self) -> float | None:
        """When the voice will have said all its words; None: it has not begun."""
        return self._speech.silent_from

    @property
    def is_speaking(self) -> bool:
        """True once a voice can speak: a clause has been completed."""
        return self._speech.silent_from is not None

    def due_at(self, speaker: Attempt, now: float) -> float:
        """Returns when the speaker's next words must be here (s, router's clock)."""
        last_chunk = speaker.useful_at
        options = self._options
        if not self._is_spoken:
            return speaker.progress_at + options.stall
        if self._lead is not None and not self._has_spare:
            # A slow server is as slow when it is asked again: only a pause that is rare for it is
            # worth ending.
            longest = long_pause(speaker.endpoint.latency.pauses, now, options)
            stalls_at = last_chunk + max(options.spoken_stall, longest)
            return max(stalls_at, (self._speech.silent_from or 0.0) - self._lead)
        return self._speech.more_due(
            first_word=speaker.first_word_at or last_chunk,
            last_chunk=last_chunk,
            lead=self._lead,
            usual_pause=usual_pause(speaker.endpoint.latency.pauses, now, options),
            options=options,
        )

    def failure(self) -> Failure:
        """Returns what it means that the words did not come in time."""
        if self._is_spoken and not self.is_speaking:
            return Failure(FailureClass.DRIPPING, "no whole clause in time")
        return Failure(FailureClass.STALLED, "stopped in the middle")
