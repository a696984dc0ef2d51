"""Speaks to callers whom no agent can reach: `python -m agent.goodbye`.

A process of its own, with nothing of a call but a voice: no model, no recogniser, no worker, no
database. What it says is made of sound before it joins.
"""

import asyncio
import datetime as dt
import json
import os
from collections.abc import Sequence
from contextlib import suppress

from livekit import api, rtc

from agent.receptionist.presence import wait_until_left
from agent.speech.tts import TTSOptions
from agent.survival.farewell import TASK, Voice
from agent.tts.embedded import create

_SUBSCRIBED_WITHIN = 3.0
_TOKEN_FOR = dt.timedelta(seconds=60)


async def _speak(voice: Voice, room_name: str, identity: str) -> None:
    sound = await _sound(voice)
    token = (
        api.AccessToken(voice.api_key, voice.api_secret)
        .with_identity(identity)
        .with_kind("agent")
        .with_ttl(_TOKEN_FOR)
        .with_grants(api.VideoGrants(room_join=True, room=room_name, can_publish=True))
        .to_jwt()
    )
    room = rtc.Room()
    source = rtc.AudioSource(sound[0].sample_rate, sound[0].num_channels)
    await room.connect(voice.url, token)
    try:
        track = rtc.LocalAudioTrack.create_audio_track("goodbye", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await room.local_participant.publish_track(track, options)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SUBSCRIBED_WITHIN):
                await publication.wait_for_subscription()
        await wait_until_left(room)  # which leaves when it sees this agent
        for frame in sound:
            await source.capture_frame(frame)
        await source.wait_for_playout()
    finally:
        await room.disconnect()
        await source.aclose()


async def _sound(voice: Voice) -> Sequence[rtc.AudioFrame]:
    engine = await asyncio.to_thread(create, TTSOptions(language=voice.language))
    async with engine.synthesize(voice.words) as speech:
        return [piece.frame async for piece in speech]


def main() -> None:
    task = json.loads(os.environ.pop(TASK))
    room, identity = task.pop("room"), task.pop("identity")
    asyncio.run(_speak(Voice(**task), room, identity))


if __name__ == "__main__":
    main()
