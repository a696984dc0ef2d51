"""Plays the receptionist's sentences in a room, and a soft sound between them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import numpy as np
from livekit import rtc

from agent.receptionist.sounds import RATE, hold_sound

_BYTES = RATE // 20 * 2
"""Sound that is passed on at a time: 50 ms of 16-bit samples."""
_QUEUE_MS = 200
_SUBSCRIBES_WITHIN = 1.5
"""Seconds to wait for the caller's client to subscribe; some never do."""
_MOST = 8
"""Sentences that may wait."""


class Player:
    """Plays sentences in their order into one room, and the hold sound after the first one."""

    def __init__(self, source: rtc.AudioSource, publication: rtc.LocalTrackPublication) -> None:
        self._source = source
        self._publication = publication
        self._sentences = deque[bytes](maxlen=_MOST)
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._is_ending = False
        self._hold = hold_sound()

    @classmethod
    @asynccontextmanager
    async def playing(cls, room: rtc.Room) -> AsyncIterator[Self]:
        """Publishes a track in the block, in which the player plays."""
        source = rtc.AudioSource(RATE, 1, queue_size_ms=_QUEUE_MS)
        track = rtc.LocalAudioTrack.create_audio_track("receptionist", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await room.local_participant.publish_track(track, options)
        player = cls(source, publication)
        running = asyncio.create_task(player._run(), name="receptionist")
        try:
            yield player
        finally:
            running.cancel()
            await asyncio.wait({running})
            await source.aclose()

    def say(self, sound: bytes) -> None:
        if sound:
            self._sentences.append(sound)
        self._changed.set()

    async def finish(self, last: bytes = b"") -> None:
        """Ends with the sentence under way, and with a `last` one; those that wait are left out."""
        self._sentences.clear()
        if last:
            self._sentences.append(last)
        self._is_ending = True
        self._changed.set()
        await self._ended.wait()

    async def _run(self) -> None:
        try:
            await self._changed.wait()
            if self._sentences or not self._is_ending:
                await self._play_all()
        finally:
            self._ended.set()

    async def _play_all(self) -> None:
        waiting = asyncio.ensure_future(self._publication.wait_for_subscription())
        await asyncio.wait({waiting}, timeout=_SUBSCRIBES_WITHIN)
        waiting.cancel()
        at = 0
        while self._sentences or not self._is_ending:
            piece = self._hold[at : at + _BYTES]
            if not (self._sentences or self._is_ending):
                await self._push(piece)
                at = (at + _BYTES) % len(self._hold)
                continue
            if at:
                await self._push(_faded(piece))
                at = 0
            if self._sentences:
                await self._play(self._sentences.popleft())
        await self._source.wait_for_playout()

    async def _play(self, sound: bytes) -> None:
        for at in range(0, len(sound), _BYTES):
            await self._push(sound[at : at + _BYTES])

    async def _push(self, piece: bytes) -> None:
        await self._source.capture_frame(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))


def _faded(piece: bytes) -> bytes:
    samples = np.frombuffer(piece, np.int16)
    return (samples * np.linspace(1.0, 0.0, len(samples))).astype(np.int16).tobytes()
