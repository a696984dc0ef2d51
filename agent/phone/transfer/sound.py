"""Plays sound to one side of a call, on a track of its own."""

import asyncio
from typing import Self

from livekit import rtc

from agent.receptionist.sounds import RATE

_BYTES = RATE // 20 * 2
"""Sound that is passed on at a time: 50 ms of 16-bit samples."""
_QUEUE_MS = 200
_SUBSCRIBED_WITHIN = 2.0
"""Seconds to wait until the listener receives the track; some never say so."""


class SideTrack:
    """A track beside the agent's voice. Close it when its listener needs it no more."""

    def __init__(
        self, room: rtc.Room, source: rtc.AudioSource, track: rtc.LocalTrackPublication
    ) -> None:
        self._room = room
        self._source = source
        self._publication = track
        self._looping: asyncio.Task[None] | None = None

    @classmethod
    async def publish(cls, room: rtc.Room, name: str) -> Self:
        source = rtc.AudioSource(RATE, 1, queue_size_ms=_QUEUE_MS)
        track = rtc.LocalAudioTrack.create_audio_track(name, source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_UNKNOWN)
        return cls(room, source, await room.local_participant.publish_track(track, options))

    @property
    def sid(self) -> str:
        return self._publication.sid

    async def play(self, sound: bytes) -> None:
        """Plays the samples once, and returns at their end."""
        waiting = asyncio.ensure_future(self._publication.wait_for_subscription())
        await asyncio.wait({waiting}, timeout=_SUBSCRIBED_WITHIN)
        waiting.cancel()
        await self._push(sound)
        await self._source.wait_for_playout()

    def loop(self, sound: bytes) -> None:
        """Plays the samples over and over until the track is closed."""
        self._looping = asyncio.create_task(self._repeat(sound), name="hold music")

    async def aclose(self) -> None:
        if self._looping:
            self._looping.cancel()
            await asyncio.wait({self._looping})
        if self._room.isconnected():
            await self._room.local_participant.unpublish_track(self.sid)
        await self._source.aclose()

    async def _repeat(self, sound: bytes) -> None:
        while True:
            await self._push(sound)

    async def _push(self, sound: bytes) -> None:
        for at in range(0, len(sound), _BYTES):
            piece = sound[at : at + _BYTES]
            await self._source.capture_frame(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))
