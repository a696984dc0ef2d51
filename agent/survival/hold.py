"""Stops an agent's voice apart from LiveKit, which pauses it for reasons of its own."""

from livekit.agents.voice.io import AudioOutput


def _do_nothing() -> None: ...


class Hold:
    """Holds the audio of an agent: it plays while it is neither held nor paused by LiveKit.

    LiveKit pauses it while the caller speaks, and ends each pause as a new speech begins. The audio
    does not count pauses: whichever side ended its own would end the other's too.
    """

    def __init__(self) -> None:
        self.is_held = False
        self._is_paused = False
        """Whether LiveKit has paused the audio."""
        self._stop = self._go_on = _do_nothing

    def follow(self, audio: AudioOutput) -> None:
        """Stands between LiveKit and the audio from now on."""
        self._stop, self._go_on = audio.pause, audio.resume
        audio.pause = self._pause  # type: ignore[method-assign]  # speeches hold on to their output
        audio.resume = self._resume  # type: ignore[method-assign]  # as above

    def hold(self) -> None:
        self.is_held = True
        self._stop()

    def release(self) -> None:
        if self.is_held:
            self.is_held = False
            if not self._is_paused:
                self._go_on()

    def _pause(self) -> None:
        self._is_paused = True
        self._stop()

    def _resume(self) -> None:
        self._is_paused = False
        if not self.is_held:
            self._go_on()
