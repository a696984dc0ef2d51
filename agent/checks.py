"""Checks the agent for `llm-router doctor`: settings, LiveKit, speech and a call's process.

The TTS engine speaks a word and the STT engine transcribes it, both as in a call but without a
fallback. A wrong transcript of a synthetic voice is no fault.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress

from livekit import rtc

from agent import assistants, stt, tts
from agent.call_options import (
    choose_stt,
    choose_tts,
    http_proxy,
    missing_speech,
    settings_by_language,
    stt_options,
    tts_options,
)
from agent.call_settings import settings_of, store_options
from agent.livekit_server import LiveKitError
from agent.phone.setup_file import load_phone
from agent.phone.transfer.destination import unreachable
from agent.rehearsal import http_session
from agent.rescues import livekit_server
from agent.speech import trial
from agent.speech.choice import Choice
from agent.speech.trial import EngineFailedError
from config.settings import EngineSettings, Settings, load_settings
from llm_router.cli.check import Finding
from llm_router.errors import ConfigurationError
from llm_router.settings.loading import (
    SettingsError,
    environment,
    export_variables,
    load_section,
)
from llm_router.stored_router import load_known, load_unused
from llm_router.voice.assistant import DEFAULT, AssistantRecord

_ENGINE_WITHIN = 60.0
"""Seconds for one engine: the first use of a model may be slow."""
_PROCESS_WITHIN = 120.0


async def check() -> AsyncGenerator[Finding, None]:
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Finding("agent", "fault", "; ".join(str(error).splitlines()))
        with suppress(SettingsError):  # the same error, if it is about these
            engines = load_section(EngineSettings)
            export_variables()
            async for finding in _check_speech(engines, None):
                yield finding
        return
    if note := export_variables():
        yield Finding("container", "note", note)
    async for finding in _check_environment(settings):
        yield finding
    usual = AssistantRecord(name=DEFAULT)
    async for finding in _check_languages("AGENT_OTHER_LANGUAGES", settings, usual):
        yield finding
    async for finding in _check_assistants(settings):
        yield finding
    yield await _check_livekit(settings)
    for finding in _check_phone(settings):
        yield finding
    async for finding in _check_speech(settings, http_proxy(settings, environment())):
        yield finding
    yield await _check_call_process()


async def _check_environment(settings: Settings) -> AsyncIterator[Finding]:
    """Names the connections outside the store: those in use, else those that are not, and why."""
    options = store_options(settings)
    try:
        known = await load_known(options, environment())
    except ConfigurationError as error:
        yield Finding("environment", "fault", str(error))
        return
    for warning in known.selected.warnings:
        yield Finding("environment", "fault", warning)
    if not known.stored and known.found.configured:
        for line in known.found.describe():
            message = f"{line} is used while no connection is stored; it is not tried here"
            yield Finding("environment", "note", message)
    for unused in await load_unused(options, known):
        yield Finding("environment", "note", str(unused))


async def _check_assistants(settings: Settings) -> AsyncIterator[Finding]:
    """Says which assistants there are besides that of the settings, and what each lacks."""
    options = store_options(settings)
    try:
        known = await assistants.load_known(options, settings.assistants_file, environment())
    except ConfigurationError as error:
        yield Finding("assistants", "fault", str(error))
        return
    for record in known.all.values():
        name = f"assistant {record.name}"
        if fault := missing_speech(settings, record):
            yield Finding(name, "fault", fault)
        else:
            yield Finding(name, "ok", "its engines and models are there")
            async for finding in _check_languages(name, settings_of(settings, record), record):
                yield finding


async def _check_languages(
    name: str, settings: Settings, record: AssistantRecord
) -> AsyncIterator[Finding]:
    """Says to which other languages callers may change, and why not to the rest of them."""
    others = settings_by_language(settings, record)
    try:
        missing = dict(stt.missing_languages(choose_stt(settings).engine, stt_options(settings)))
    except ConfigurationError:
        return  # a fault of its own
    for language, other in others.items():
        if fault := missing.get(language) or await _voice_fault(other):
            missing[language] = fault
            yield Finding(name, "fault", f"callers cannot change to {language!r}: {fault}")
        else:
            for finding in _lacking(choose_tts(other), f"espeak-ng (robotic) speaks {language!r}"):
                yield finding
    if fitting := [language for language in others if language not in missing]:
        yield Finding(name, "ok", f"callers may change to {', '.join(fitting)}")


async def _voice_fault(settings: Settings) -> str:
    """Returns why there is no voice for these settings; empty: there is one."""
    try:
        engine = tts.load(choose_tts(settings).engine, tts_options(settings), fallback=False)
    except ConfigurationError as error:
        return str(error)
    await engine.aclose()
    return ""


async def _check_livekit(settings: Settings) -> Finding:
    try:
        async with livekit_server(settings) as server:
            await server.check()
    except LiveKitError as error:
        return Finding("LiveKit", "fault", f"{settings.livekit_url}: {error}")
    return Finding("LiveKit", "ok", f"{settings.livekit_url} answers and accepts the keys")


def _check_phone(settings: Settings) -> Iterator[Finding]:
    """Says whether the telephone's file can be understood; `phone doctor` checks the rest."""
    try:
        setup = load_phone(settings.phone_file, environment())
    except ConfigurationError as error:
        yield Finding("telephone", "fault", str(error))
        return
    if setup.numbers or setup.trunks:
        count = f"numbers: {len(setup.numbers)}, trunks: {len(setup.trunks)}"
        yield Finding("telephone", "ok", f"{settings.phone_file}: {count}")
    for name, reason in unreachable(setup).items():
        yield Finding("telephone", "fault", f"no call can be transferred to {name}: {reason}")


async def _check_speech(
    settings: Settings | EngineSettings, proxy: str | None
) -> AsyncIterator[Finding]:
    """Says which engines speak and transcribe, and whether they do. `proxy`: that of servers."""
    for finding in _lacking(choose_tts(settings), "espeak-ng (robotic) speaks"):
        yield finding
    for finding in _lacking(choose_stt(settings), "pocketsphinx transcribes"):
        yield finding
    sound: list[rtc.AudioFrame] = []
    try:
        async with http_session(proxy):
            yield await _check_tts(settings, sound)
            yield await _check_stt(settings, sound)
    except ConfigurationError as error:
        yield Finding("speech", "fault", str(error))


async def _check_tts(settings: Settings | EngineSettings, sound: list[rtc.AudioFrame]) -> Finding:
    """Speaks a word, and appends its frames to `sound`."""
    chosen = choose_tts(settings)
    name = f"TTS {chosen.engine}"
    options = tts_options(settings)
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        engine = tts.load(chosen.engine, options, fallback=False)
        sound.extend(await trial.speak(engine, options, _ENGINE_WITHIN))
    except ConfigurationError as error:
        return Finding(name, "fault", f"{error}; see TTS_ENGINE")
    except EngineFailedError as error:
        return Finding(name, "fault", str(error))
    seconds = sum(frame.duration for frame in sound)
    result = f"{seconds:.1f} s of speech after {loop.time() - started:.2f} s"
    return Finding(name, "ok", f"{engine.model}: {result}")


async def _check_stt(settings: Settings | EngineSettings, sound: list[rtc.AudioFrame]) -> Finding:
    chosen = choose_stt(settings)
    name = f"STT {chosen.engine}"
    options = stt_options(settings)
    try:
        engine = stt.load(chosen.engine, options, fallback=False)
        transcript = await trial.transcribe(engine, options, sound, _ENGINE_WITHIN)
    except ConfigurationError as error:
        return Finding(name, "fault", f"{error}; see STT_ENGINE")
    except EngineFailedError as error:
        return Finding(name, "fault", str(error))
    result = f"transcribed {transcript!r}" if transcript else "gave no words, and no error"
    return Finding(name, "ok", f"{engine.model}: {result}")


def _lacking(chosen: Choice, embedded: str) -> Iterator[Finding]:
    """Says why an embedded engine takes the place of the neural one, if it does."""
    if chosen.missing:
        yield Finding("speech", "note", f"{embedded}: {chosen.missing}")


async def _check_call_process() -> Finding:
    """Starts the process of a call as the worker does, in a process of its own."""
    name = "call process"
    loop = asyncio.get_running_loop()
    started = loop.time()
    trying = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.worker", "try"), stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
    )
    try:
        async with asyncio.timeout(_PROCESS_WITHIN):
            _, said = await trying.communicate()
    except TimeoutError:
        late = (
            f"it has not come up within {_PROCESS_WITHIN:.0f} s; run `python -m agent.worker try`"
            " to see where it stops"
        )
        return Finding(name, "fault", late)
    finally:
        if trying.returncode is None:
            trying.kill()
            await trying.wait()
    if trying.returncode:
        reason = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
        last = reason[-1].strip() if reason else f"it ended with {trying.returncode}"
        return Finding(name, "fault", f"{last}; `python -m agent.worker try` shows more")
    return Finding(name, "ok", f"came up and made a sound, after {loop.time() - started:.1f} s")
