"""build_session: ears, turn detection, router and voice, put together for one call."""

import asyncio
import json
import logging
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession, inference, vad
from livekit.agents.types import APIConnectOptions
from livekit.agents.voice import room_io
from livekit.agents.voice.agent_session import SessionConnectOptions

from agent.assistant import can_be_heard
from agent.stt.base import Engine as STTEngine
from agent.tts.base import Engine as TTSEngine
from llm_router.errors import ConfigurationError
from llm_router.integrations.livekit import ROUTE, RouterLLM
from llm_router.routing.phrases import Phrases

_logger = logging.getLogger("agent")

REPLY_TOPIC = "patchbay.reply"
"""Text stream on which a page is told which connection gave an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOptions:
    """How the end of a caller's turn is found. Seconds; what each setting gains is in
    docs/bench/voice_turn.md.
    """

    detection: str = "v1-mini"
    vad_engine: str = "native"
    min_silence: float = 0.25
    min_delay: float = 0.2
    max_delay: float = 0.9
    preemptive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """What is slow to load and can be kept from call to call of one process."""

    stt: STTEngine
    tts: TTSEngine
    vad: vad.VAD


def load_vad(options: TurnOptions) -> vad.VAD:
    """The voice activity detector; both run in this process."""
    if options.vad_engine == "silero":
        from livekit.plugins import silero  # noqa: PLC0415  onnxruntime only where it was asked for

        return silero.VAD.load(min_silence_duration=options.min_silence)
    return inference.VAD(min_silence_duration=options.min_silence)


def load_phrases(file: Path) -> Phrases:
    """Raises ConfigurationError, naming the file and the place, for one that cannot be used."""
    try:
        languages = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"PHRASES_FILE: there is no {file}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"PHRASES_FILE: {file}: {error}") from None
    return Phrases({name: _flat(file, name, phrases) for name, phrases in languages.items()})


def _flat(file: Path, place: str, phrases: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if not isinstance(phrases, dict):
        raise ConfigurationError(f"PHRASES_FILE: {file}: {place} should be a table of phrases")
    for occasion, said in phrases.items():
        if isinstance(said, dict):
            inner = _flat(file, f"{place}.{occasion}", said)
            found |= {f"{occasion}.{name}": texts for name, texts in inner.items()}
        elif isinstance(said, list) and said and all(isinstance(text, str) for text in said):
            found[occasion] = said
        else:
            raise ConfigurationError(
                f"PHRASES_FILE: {file}: {place}.{occasion} should be a list of texts"
            )
    return found


def build_session(llm: RouterLLM, engines: Engines, turns: TurnOptions) -> AgentSession[None]:
    """A session that retries nothing itself and needs nothing outside this machine but what its
    engines name.
    """
    detection: Any = (
        inference.TurnDetector(version="v1-mini") if turns.detection == "v1-mini" else "vad"
    )
    return AgentSession(
        stt=engines.stt,
        llm=llm,
        tts=engines.tts,
        vad=engines.vad,
        turn_handling={
            # Named, both of them: LiveKit's own choice would be its cloud under `dev`.
            "turn_detection": detection,
            "interruption": {"mode": "vad"},
            "endpointing": {"min_delay": turns.min_delay, "max_delay": turns.max_delay},
            "preemptive_generation": {"enabled": turns.preemptive, "preemptive_tts": False},
        },
        conn_options=SessionConnectOptions(
            llm_conn_options=APIConnectOptions(max_retry=0),
            # The router answers for every failure; a call is never ended for one.
            max_unrecoverable_errors=1_000_000,
        ),
    )


async def answer_text(session: AgentSession[None], event: room_io.TextInputEvent) -> None:
    """What is typed takes the floor, as what is said does."""
    await can_be_heard(session)
    async with session._claim_user_turn():  # noqa: SLF001  LiveKit's own advice to a callback like this
        await session.interrupt()
        session.generate_reply(user_input=event.text)


def room_options() -> room_io.RoomOptions:
    return room_io.RoomOptions(
        audio_input=room_io.AudioInputOptions(frame_size_ms=20, noise_cancellation=None),
        text_input=room_io.TextInputOptions(text_input_cb=answer_text),
        audio_output=True,
        text_output=True,
        delete_room_on_close=True,
    )


class RouteNotes:
    """After each answer, tells the room which connection gave it, for a page to show."""

    def __init__(self, session: AgentSession[None], room: rtc.Room) -> None:
        self._room = room
        self._sending: set[asyncio.Task[None]] = set()
        session.on("conversation_item_added", self._on_item)

    def _on_item(self, event: Any) -> None:
        route = getattr(event.item, "extra", {}).get(ROUTE)
        if route is None or event.item.role != "assistant":
            return
        task = asyncio.create_task(self._send(json.dumps(route)))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, note: str) -> None:
        try:
            await self._room.local_participant.send_text(note, topic=REPLY_TOPIC)
        except Exception as error:  # noqa: BLE001  the caller may have just left; a note is no loss
            _logger.debug("a note on the route was not sent: %s", type(error).__name__)

    async def aclose(self) -> None:
        if self._sending:
            await asyncio.wait(self._sending, timeout=1.0)
