"""Writes a caller's voice into a file, in a folder of the operator's."""

import asyncio
import logging
import os
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from livekit import rtc

from llm_router.clock import Clock, SystemClock

RATE = 16_000
"""Samples a second: as many as G.722 has, the best codec of telephones."""
_SAMPLE = 2  # bytes
_PIECE = RATE * _SAMPLE
"""Bytes that are written at a time: a second."""
_QUEUE = 1_000
"""Frames that wait at most to be written."""
_DAY = 86_400.0
_logger = logging.getLogger("agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingOptions:
    """The folder of the recordings, and how much of them it holds."""

    folder: Path
    megabytes: int = 1_000
    """Size of all recordings above which no further one is made."""
    days: int = 90
    """Age at which a recording is removed."""
    seconds: float = 120.0
    """Length of one recording."""


class Frames(Protocol):
    """A stream of frames at RATE with one channel."""

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrameEvent]: ...

    async def aclose(self) -> None: ...


def voice_of(caller: rtc.RemoteParticipant) -> Frames:
    """Returns the caller's voice from now on."""
    return rtc.AudioStream.from_participant(
        participant=caller,
        track_source=rtc.TrackSource.SOURCE_MICROPHONE,
        sample_rate=RATE,
        num_channels=1,
        capacity=_QUEUE,
    )


class Recording:
    """One recording. What is written is a whole WAV file at any time, so a death costs a second."""

    def __init__(self, options: RecordingOptions, name: str, clock: Clock | None = None) -> None:
        self._options = options
        self._clock = clock or SystemClock()
        self.path = options.folder / f"{name}.wav"
        self._task: asyncio.Task[None] | None = None

    def start(self, frames: Frames) -> None:
        """Records the voice from now on, until it ends or `aclose`; closes the frames then."""
        self._task = asyncio.create_task(self._write(frames), name="recording of a message")

    async def aclose(self, *, keep: bool) -> None:
        """Ends the file, and removes it unless it is to stay."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        if not keep and self.path.is_file():
            await asyncio.to_thread(self.path.unlink, missing_ok=True)

    async def _write(self, frames: Frames) -> None:
        try:
            if not await asyncio.to_thread(self._has_room):
                return
            file = await asyncio.to_thread(self._open)
            await self._write_to(file, frames)
        except OSError as error:
            _logger.error("a message is not recorded: %s: %s", self.path.parent, error.strerror)  # noqa: TRY400  a sentence for operators
        finally:
            await frames.aclose()

    async def _write_to(self, file: wave.Wave_write, frames: Frames) -> None:
        piece = bytearray()
        left = int(self._options.seconds * RATE) * _SAMPLE
        writing: asyncio.Task[None] | None = None
        try:
            async for event in frames:
                piece += bytes(event.frame.data)
                if len(piece) < min(_PIECE, left):
                    continue
                if writing:
                    await asyncio.shield(writing)
                full = bytes(piece[:left])
                writing = asyncio.create_task(asyncio.to_thread(file.writeframes, full))
                left -= len(full)
                piece.clear()
                if not left:
                    return
        finally:
            if writing:
                await asyncio.wait([writing])  # a thread goes on after a cancellation
            try:
                file.writeframes(bytes(piece[:left]))
            finally:
                file.close()

    def _has_room(self) -> bool:
        """Removes old recordings, and returns whether the folder may get another one."""
        folder = self._options.folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        now, size = self._clock.wall(), 0
        for other in folder.glob("voicemail-*.wav"):
            try:
                facts = other.stat()
            except FileNotFoundError:  # another process has removed it
                continue
            if now - facts.st_mtime > self._options.days * _DAY:
                other.unlink(missing_ok=True)
            else:
                size += facts.st_size
        if size >= self._options.megabytes * 1_000_000:
            _logger.error(
                "a message is not recorded: %s holds %d MB; remove old recordings",
                folder,
                size // 1_000_000,
            )
            return False
        return True

    def _open(self) -> wave.Wave_write:
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        file = wave.open(str(self.path), "wb")  # noqa: SIM115  closed by `_write_to`
        file.setnchannels(1)
        file.setsampwidth(_SAMPLE)
        file.setframerate(RATE)
        return file
