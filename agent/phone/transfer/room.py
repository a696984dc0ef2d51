"""The room of a call as transfers need it: its caller, who receives which track, its telephones."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
from google.protobuf.duration_pb2 import Duration
from livekit import api, rtc
from livekit.agents import AgentSession

from agent.phone.line import PHONE
from agent.phone.transfer.cold import Report
from agent.phone.transfer.destination import Telephone
from agent.phone.transfer.sound import SideTrack
from agent.receptionist.sounds import hold_sound
from agent.staff import PERSON_ATTRIBUTE
from llm_router.voice.phone.outcomes import Outcome, result_of

_logger = logging.getLogger("agent")

LIVEKIT_ERRORS = (api.ServerError, aiohttp.ClientError, TimeoutError)
_WITHIN = 4.0
"""Seconds for a request to LiveKit that does not wait for a telephone."""


class CallRoom:
    """The room of one call that an agent of ours answers."""

    def __init__(self, session: AgentSession[Any], room: rtc.Room, livekit: api.LiveKitAPI) -> None:
        self.session = session
        self.rtc = room
        self._api = livekit

    @property
    def caller(self) -> rtc.RemoteParticipant | None:
        """The caller, while they are in the room."""
        linked = self.session.room_io.linked_participant
        return linked and self.rtc.remote_participants.get(linked.identity)

    @property
    def is_whole(self) -> bool:
        """Whether the agent's connection to the room is whole, so that those in it are seen."""
        return self.rtc.connection_state == rtc.ConnectionState.CONN_CONNECTED

    def is_on_the_phone(self) -> bool:
        return self.caller is not None and self.caller.kind == PHONE

    # ── Sound ────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def on_hold(
        self, caller: str, *, persons: Sequence[str] = ()
    ) -> AsyncIterator[SideTrack | None]:
        """Plays music to the caller alone during the block.

        With `persons` it yields a silent track that only they can receive, before they come.
        """
        own = [*self.rtc.local_participant.track_publications]
        # Each part of the end is done also where the one before was cut off.
        async with AsyncExitStack() as stack:
            stack.callback(self._permit_all)
            # Nobody receives a track that is published from now on, unless it is theirs.
            self._permit({caller: own})
            music = await SideTrack.publish(self.rtc, "hold music")
            stack.push_async_callback(_close, music)
            briefing = await SideTrack.publish(self.rtc, "briefing") if persons else None
            if briefing:
                stack.push_async_callback(_close, briefing)
            allowed = {caller: [*own, music.sid]}
            briefed = {each: [briefing.sid] for each in persons} if briefing else {}
            self._permit(allowed | briefed)
            music.loop(hold_sound())
            yield briefing

    def _permit_all(self) -> None:
        if self.rtc.isconnected():
            self.rtc.local_participant.set_track_subscription_permissions(
                allow_all_participants=True
            )

    def _permit(self, allowed: Mapping[str, Sequence[str]]) -> None:
        self.rtc.local_participant.set_track_subscription_permissions(
            allow_all_participants=False,
            participant_permissions=[
                rtc.ParticipantTrackPermission(
                    participant_identity=identity, allowed_track_sids=[*tracks]
                )
                for identity, tracks in allowed.items()
            ],
        )

    # ── Who receives whom ────────────────────────────────────────────────────────────────────────

    async def join(self, first: str, second: str, *, together: bool) -> None:
        """Lets two participants receive each other's sound, or not. Raises LIVEKIT_ERRORS."""
        await self._subscribe(first, self._sound_of(second), together=together)
        await self._subscribe(second, self._sound_of(first), together=together)

    def _sound_of(self, identity: str) -> Sequence[str]:
        person = self.rtc.remote_participants.get(identity)
        tracks = person.track_publications.values() if person else ()
        return [each.sid for each in tracks if each.kind == rtc.TrackKind.KIND_AUDIO]

    async def _subscribe(self, who: str, tracks: Sequence[str], *, together: bool) -> None:
        if not tracks:
            return
        request = api.UpdateSubscriptionsRequest(
            room=self.rtc.name, identity=who, track_sids=tracks, subscribe=together
        )
        async with asyncio.timeout(_WITHIN):
            await self._api.room.update_subscriptions(request)

    async def remove(self, identity: str) -> bool:
        """Removes a participant, whose telephone is hung up; returns whether they were there."""
        request = api.RoomParticipantIdentity(room=self.rtc.name, identity=identity)
        try:
            async with asyncio.timeout(_WITHIN):
                await self._api.room.remove_participant(request)
        except LIVEKIT_ERRORS as error:
            if not (isinstance(error, api.ServerError) and error.code == "not_found"):
                _logger.warning("a participant could not be removed: %s", type(error).__name__)
            return False
        return True

    # ── Telephones ───────────────────────────────────────────────────────────────────────────────

    async def dial(self, identity: str, to: Telephone, ring_for: float) -> Report:
        """Calls a telephone into the room; returns once it has answered, or will not."""
        request = api.CreateSIPParticipantRequest(
            trunk=api.SIPOutboundConfig(
                hostname=to.host,
                transport=f"SIP_TRANSPORT_{to.transport.upper()}",
                auth_username=to.username,
                auth_password=to.password.get_secret_value() if to.password else "",
            ),
            sip_call_to=to.user,
            sip_number=to.caller_id,
            media_encryption=f"SIP_MEDIA_ENCRYPT_{to.encryption.upper()}",
            room_name=self.rtc.name,
            participant_identity=identity,
            participant_name=identity,  # LiveKit's own would be the number
            hide_phone_number=True,  # callers can read the attributes of those in their room
            participant_attributes={PERSON_ATTRIBUTE: "true"},
            wait_until_answered=True,
            ringing_timeout=_duration(ring_for),
            max_call_duration=_duration(to.max_minutes * 60),
        )
        return await _report(self._api.sip.create_sip_participant(request))

    async def refer(self, caller: str, uri: str, ring_for: float) -> Report:
        """Asks the caller's telephone to call another one; returns the final word on that."""
        request = api.TransferSIPParticipantRequest(
            room_name=self.rtc.name,
            participant_identity=caller,
            transfer_to=uri,
            ringing_timeout=_duration(ring_for),
        )
        return await _report(self._api.sip.transfer_sip_participant(request))


async def _close(track: SideTrack) -> None:
    with suppress(Exception):  # a room that is gone has no tracks any more
        await track.aclose()


async def _report(request: Awaitable[object]) -> Report:
    try:
        await request
    except api.ServerError as error:
        status = getattr(error, "sip_status_code", None)
        result = result_of(status, error.code, error.message)
        _logger.warning("a telephone could not be reached: %s", result.meaning)
        return Report(
            outcome=result.outcome, is_definite=status is not None, may_reroute=result.may_reroute
        )
    except (aiohttp.ClientError, TimeoutError) as error:
        _logger.warning("LiveKit does not answer a transfer: %s", type(error).__name__)
        return Report(outcome=Outcome.NO_ANSWER, is_definite=False)
    return Report(outcome=Outcome.ANSWERED, is_definite=True)


def _duration(seconds: float) -> Duration:
    return Duration(seconds=round(seconds))
