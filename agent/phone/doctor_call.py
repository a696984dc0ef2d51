"""Calls ourselves, and says of each part of the call whether it works: for `phone doctor`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from secrets import token_hex

from livekit import api

from agent.phone.objects import SipError
from agent.phone.own_call import OwnCall, Report, Target, calling
from agent.phone.room_sound import find_room, measure_loudness
from agent.phone.sip_messages import CODECS
from llm_router.cli.check import Finding
from llm_router.clock import Clock
from llm_router.voice.phone.outcomes import result_of
from llm_router.voice.phone.rooms import ROOM_PREFIX

_REPLY_WITHIN = 5.0
_ANSWER_WITHIN = 20.0
_SOUND_WITHIN = 6.0
_TONE = 3.0
"""Seconds for which a tone is sent, and measured in the room."""
_AUDIBLE = 0.01
_SLOW = 1.5
"""Seconds until an answer that people notice."""


@dataclass(frozen=True)
class CallOptions:
    """LiveKit, and whom to call."""

    url: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    target: Target


async def check_call(options: CallOptions, clock: Clock) -> AsyncIterator[Finding]:
    """Yields what is found of the way in, the answer, the codec, and the sound each way."""
    target = options.target
    async with calling(target, clock, token_hex(6)) as call:
        if not await _until(call, lambda r: r.first_reply is not None, _REPLY_WITHIN):
            yield _unreachable(target)
            return
        yield Finding("SIP port", "ok", f"{target.host}:{target.port} answers to UDP")
        await _until(call, lambda r: bool(r.status), _ANSWER_WITHIN)
        if call.report.answered is None:
            yield _unanswered(call.report)
            return
        yield _answered(call.report.answered)
        for finding in _check_codec(call.report, target):
            yield finding
        if call.report.sound is None:
            return
        await _until(call, lambda r: r.first_sound is not None, _SOUND_WITHIN)
        yield _sound_to_caller(call.report, target)
        yield await _sound_to_agent(options, call, clock)


async def _until(call: OwnCall, is_reached: Callable[[Report], bool], within: float) -> bool:
    """Waits until the call has come so far, or is over; returns whether it has."""
    try:
        async with asyncio.timeout(within):
            while not is_reached(call.report) and not call.report.has_ended:
                call.changed.clear()
                await call.changed.wait()
    except TimeoutError:
        pass
    return is_reached(call.report)


def _unreachable(target: Target) -> Finding:
    return Finding(
        "SIP port",
        "fault",
        f"nothing answers at {target.host}:{target.port} (UDP): start livekit-sip there, or correct"
        " `address` in [service]; if it is another machine, open UDP 5060 in its firewall",
    )


def _unanswered(report: Report) -> Finding:
    if report.status in {401, 407}:
        message = "the trunk refuses username and password; run `llm-router phone apply`"
        return Finding("trunk", "fault", message)
    if report.status:
        meaning = result_of(report.status).meaning
        return Finding("answer", "fault", f"{report.status} {report.reason}: {meaning}")
    return Finding(
        "answer",
        "fault",
        f"it rings, and no agent answers within {_ANSWER_WITHIN:.0f} s: see `worker` above and the"
        " worker's log; if livekit-sip has another Redis or other keys than livekit-server, no call"
        " gets further than this",
    )


def _answered(after: float) -> Finding:
    message = f"after {after:.2f} s"
    if after > _SLOW:
        return Finding("answer", "note", f"{message}; more WORKER_IDLE_PROCESSES make it faster")
    return Finding("answer", "ok", message)


def _check_codec(report: Report, target: Target) -> Iterator[Finding]:
    sound = report.sound
    if sound is None:
        offered = ", ".join(target.codecs)
        message = f"the answer has none of {offered}; correct `codecs` in [media]"
        yield Finding("codec", "fault", message)
        return
    yield Finding("codec", "ok", CODECS[sound.codec])
    if hint := _address_hint(sound.host, target.host):
        yield Finding("sound address", "fault", hint)


def _address_hint(named: str, reached: str) -> str:
    """Says whether livekit-sip names an address for sound that its callers cannot reach."""
    try:
        said, known = ip_address(named), ip_address(reached)
    except ValueError:
        return ""
    if said == known or (said.is_private and known.is_private and not said.is_loopback):
        return ""
    return (
        f"livekit-sip wants sound at {named}, and is reached at {reached}: behind NAT, set"
        " `use_external_ip: true` or `nat_1_to_1_ip` in its configuration"
    )


def _sound_to_caller(report: Report, target: Target) -> Finding:
    subject = "sound to the caller"
    if not report.packets:
        where = report.sound.host if report.sound else target.host
        message = (
            f"none comes from {where}: open the UDP ports of `rtp_port` in livekit-sip's"
            " configuration both ways, in every firewall on the way; behind NAT see docs/phone.md"
        )
        return Finding(subject, "fault", message)
    if report.first_sound is None:
        message = (
            "only silence comes: the agent has not spoken; `llm-router doctor` tests its voice"
        )
        return Finding(subject, "note", f"{report.packets} packets came, and {message}")
    since = report.first_sound - (report.answered or 0)
    return Finding(subject, "ok", f"first sound {since:.2f} s after the answer")


async def _sound_to_agent(options: CallOptions, call: OwnCall, clock: Clock) -> Finding:
    subject = "sound to the agent"
    async with api.LiveKitAPI(options.url, options.api_key, options.api_secret) as server:
        try:
            room = await find_room(server, options.url, ROOM_PREFIX, call.report.call_id)
        except SipError as error:
            return Finding(subject, "fault", str(error))
    if not room:
        return Finding(subject, "note", "the room of the call was not found, so it is not known")
    grants = api.VideoGrants(
        room_join=True, room=room, hidden=True, can_publish=False, can_publish_data=False
    )
    token = api.AccessToken(options.api_key, options.api_secret).with_identity("patchbay-doctor")
    call.sends_tone = True
    jwt = token.with_grants(grants).to_jwt()
    loudness = await measure_loudness(options.url, jwt, _TONE, clock)
    if loudness < _AUDIBLE:
        message = (
            "a tone that was sent does not reach the room: open the UDP ports of `rtp_port` for"
            " incoming packets, and name the machine's public address in `nat_1_to_1_ip`"
        )
        return Finding(subject, "fault", message)
    return Finding(subject, "ok", "a tone reaches the room of the call")
