"""Checks the telephone layer by layer, and names the broken one with what to do next."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

from agent.dispatch import Dispatch
from agent.phone.doctor_call import CallOptions, check_call
from agent.phone.livekit_sip import LiveKitSip
from agent.phone.matching import Match, match_call
from agent.phone.objects import SipError, SipObjects
from agent.phone.own_call import Target
from agent.phone.provision import make_plan
from agent.phone.wanted import wanted_objects
from llm_router.cli.check import Finding
from llm_router.clock import Clock, utc_now
from llm_router.errors import ConfigurationError
from llm_router.voice.phone.hours import answer_of
from llm_router.voice.phone.setup import PhoneSetup

_WITHIN = 4.0
"""Seconds for what answers at once, or not at all."""
_SIP_PORT = 5060


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """The telephone that is checked, and how far."""

    setup: PhoneSetup
    url: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    agent_name: str
    has_worker: Callable[[], Awaitable[bool | None]]
    """Returns whether a worker takes calls; None: it cannot be known."""
    clock: Clock
    called: str = ""
    """Number that is called; empty: the first of the file."""
    calling: str = ""
    places_call: bool = True


async def check_phone(doctor: Doctor) -> AsyncIterator[Finding]:
    """Yields what is found, from LiveKit to the sound of a call; stops where no more is known."""
    setup = doctor.setup
    if not (setup.numbers or setup.trunks):
        yield Finding("file", "note", "has no numbers; write some as docs/phone.md shows")
    else:
        count = f"numbers: {len(setup.numbers)}, trunks: {len(setup.trunks)}"
        yield Finding("file", "ok", count)
    if setup.service.redis:
        yield await _check_redis(setup.service.redis)
    if setup.service.health:
        yield await _check_health(setup.service.health)
    try:
        async with LiveKitSip(doctor.url, doctor.api_key, doctor.api_secret) as sip:
            objects = await sip.read()
    except SipError as error:
        yield Finding("LiveKit", "fault", str(error))
        return
    yield Finding("LiveKit", "ok", f"{doctor.url} answers, and has a Redis for telephones")
    yield _check_objects(doctor, objects)
    yield await _check_worker(doctor)
    called = doctor.called or next((each.number for each in setup.numbers), "")
    if not called:
        return
    host, port = _split(setup.service.address)
    source = await _source(host, port)
    if not source:
        message = f"{host} is no host name that is known here; correct `address` in [service]"
        yield Finding("SIP port", "fault", message)
        return
    match = match_call(objects, called, doctor.calling, source)
    yield _describe_match(match, called, doctor.calling or "any number", source)
    if answering := _describe_answer(setup, called, utc_now(doctor.clock)):
        yield answering
    if doctor.places_call and match.trunk and match.rule:
        target = _target(doctor, match, called, host, port)
        options = CallOptions(doctor.url, doctor.api_key, doctor.api_secret, target)
        async for finding in check_call(options, doctor.clock):
            yield finding


def _check_objects(doctor: Doctor, objects: SipObjects) -> Finding:
    try:
        wanted = wanted_objects(doctor.setup, doctor.agent_name)
    except ConfigurationError as error:
        return Finding("trunks and rules", "fault", str(error))
    plan = make_plan(objects, wanted, doctor.agent_name)
    if plan.conflicts:
        return Finding("trunks and rules", "fault", "; ".join(plan.conflicts))
    if plan.changes:
        count = len(plan.changes)
        message = f"{count} differ from the file; run `llm-router phone apply`"
        return Finding("trunks and rules", "fault", message)
    return Finding("trunks and rules", "ok", "LiveKit has what the file says")


async def _check_worker(doctor: Doctor) -> Finding:
    present = await doctor.has_worker()
    name = doctor.agent_name
    if present is None:
        return Finding("worker", "note", "the database does not say whether one takes calls")
    if not present:
        message = f"none takes calls for the agent {name!r}: start `python -m agent.worker start`"
        return Finding("worker", "fault", f"{message} with AGENT_NAME={name}")
    return Finding("worker", "ok", f"one takes calls for the agent {name!r}")


def _describe_match(match: Match, called: str, calling: str, source: str) -> Finding:
    call = f"a call to {called} from {calling} at {source}"
    if not match.trunk or not match.rule:
        why = "; ".join(match.reasons)
        advice = (
            "LiveKit drops it without an answer, and the caller hears nothing. Add the number, or"
            " `other_numbers`, or the address to `allowed_addresses`; then `llm-router phone apply`"
        )
        return Finding("matching rule", "fault", f"{call}: {why}. {advice}")
    agents = ", ".join(
        f"{agent.agent_name} as {Dispatch.from_metadata(agent.metadata).assistant or 'default'}"
        for agent in match.rule.room_config.agents
    )
    return Finding(
        "matching rule",
        "ok" if agents else "fault",
        f"{call} comes in on trunk {match.trunk.name} ({match.trunk.sip_trunk_id}), by rule"
        f" {match.rule.name} ({match.rule.sip_dispatch_rule_id}), to agent {agents or 'none'}",
    )


def _describe_answer(setup: PhoneSetup, called: str, now: datetime) -> Finding | None:
    answer = answer_of(setup, called, now)
    if answer is None:
        return None
    who = f"{'voicemail of ' if answer.is_voicemail else ''}assistant {answer.assistant}"
    state = "open" if answer.is_open else "closed"
    hours = f"hours {answer.number.hours} are {state}" if answer.number.hours else "always open"
    return Finding("opening hours", "ok", f"{called} is answered by {who} now: {hours}")


def _target(doctor: Doctor, match: Match, called: str, host: str, port: int) -> Target:
    trunk = match.trunk
    known = {"codecs": doctor.setup.media.codecs} if doctor.setup.media.codecs else {}
    return Target(
        host=host,
        port=port,
        called=called,
        calling=doctor.calling or "patchbay-doctor",
        username=trunk.auth_username if trunk else "",
        password=trunk.auth_password if trunk else "",
        **known,
    )


async def _check_redis(address: str) -> Finding:
    """Asks for a sign of life; a Redis that wants a password gives one, too."""
    host, port = _split(address, 6379)
    try:
        async with asyncio.timeout(_WITHIN):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"PING\r\n")
                answer = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        answer = b""
    if answer[:1] not in {b"+", b"-"}:
        message = f"nothing answers at {address}: start it, or correct `redis` in [service]"
        return Finding("Redis", "fault", message)
    return Finding("Redis", "ok", f"{address} answers")


async def _check_health(url: str) -> Finding:
    timeout = aiohttp.ClientTimeout(total=_WITHIN)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as client, client.get(url) as answer:
            status = answer.status
    except (aiohttp.ClientError, TimeoutError):
        message = f"nothing answers at {url}: start livekit-sip, or correct `health` in [service]"
        return Finding("SIP process", "fault", message)
    if status == 429:  # noqa: PLR2004  its answer under load
        return Finding("SIP process", "fault", "livekit-sip is over its limit of processor time")
    if status != 200:  # noqa: PLR2004
        message = f"livekit-sip says that it is not well (HTTP {status}); its log says why"
        return Finding("SIP process", "fault", message)
    return Finding("SIP process", "ok", f"{url} answers")


def _split(address: str, default: int = _SIP_PORT) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return address.strip("[]"), default
    return host.strip("[]"), int(port)


async def _source(host: str, port: int) -> str:
    """Returns the address from which this machine sends to a host; empty: there is no such host."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(found[0][4])
            return str(probe.getsockname()[0])
    except OSError:
        return ""
