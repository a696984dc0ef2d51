"""Measures the sound that a call by telephone brings into its LiveKit room."""

import asyncio

import numpy as np
from livekit import api, rtc

from agent.phone.livekit_sip import explained
from llm_router.clock import Clock

_SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
_CALL_ID = "sip.callIDFull"
_JOIN_WITHIN = 5.0


async def find_room(server: api.LiveKitAPI, url: str, prefix: str, call_id: str) -> str:
    """Returns the room of a call by the Call-ID of its SIP messages; empty: there is none.

    Raises SipError.
    """
    async with explained(url):
        rooms = (await server.room.list_rooms(api.ListRoomsRequest())).rooms
        for room in rooms:
            if not room.name.startswith(prefix):
                continue
            request = api.ListParticipantsRequest(room=room.name)
            people = (await server.room.list_participants(request)).participants
            if any(person.attributes.get(_CALL_ID) == call_id for person in people):
                return room.name
    return ""


async def measure_loudness(url: str, token: str, seconds: float, clock: Clock) -> float:
    """Returns how loud telephones are in a room at most, from 0 to 1, within some seconds.

    The token should be one of a hidden participant, whom the agent does not notice.
    """
    room = rtc.Room()
    loudest = 0.0
    reading: set[asyncio.Task[None]] = set()

    async def read(track: rtc.Track) -> None:
        nonlocal loudest
        stream = rtc.AudioStream(track)
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float64)
                loudest = max(loudest, float(np.sqrt(np.mean(np.square(samples))) / 32768))
        finally:
            await stream.aclose()

    def on_track(
        track: rtc.Track, _: rtc.RemoteTrackPublication, person: rtc.RemoteParticipant
    ) -> None:
        if person.kind == _SIP and track.kind == rtc.TrackKind.KIND_AUDIO:
            reading.add(asyncio.create_task(read(track)))

    room.on("track_subscribed", on_track)
    try:
        async with asyncio.timeout(_JOIN_WITHIN):
            await room.connect(url, token)
        await clock.sleep(seconds)
    except (rtc.ConnectError, TimeoutError):
        return 0.0
    finally:
        for task in reading:
            task.cancel()
        if reading:
            await asyncio.wait(reading)
        await room.disconnect()
    return loudest
