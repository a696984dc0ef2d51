"""Builds the LiveKit session of one call: speech engines, turn detection and router."""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

from livekit.agents import AgentSession, CloseEvent, JobContext, inference, io, vad
from livekit.agents.types import APIConnectOptions
from livekit.agents.voice import room_io
from livekit.agents.voice.agent_session import SessionConnectOptions

from agent.end_of_turn.detector import EndOfTurn
from agent.end_of_turn.rule import Delays
from agent.speech.detector import voice_detector
from agent.speech.samples import RATE
from agent.speech.stt import STTEngine
from agent.speech.tts import TTSEngine, speaks_here
from llm_router.integrations.livekit import RouterLLM

_HANG_UP_WITHIN = 5.0
"""Seconds for which the end of a call waits for LiveKit to delete its room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOptions:
    """Options that decide when a caller's turn has ended.

    Times are in seconds; docs/bench/voice_turn.md shows what each setting gains.
    """

    detection: str = "v1-mini"
    vad_engine: str = "native"
    min_silence: float = 0.25
    min_delay: float = 0.2
    max_delay: float = 0.9
    preemptive: bool = True
    heeds_words: bool = True
    """Whether the caller's words count, too; without them LiveKit's detector decides alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """Engines that are slow to load and that every call of one process can use."""

    stt: STTEngine
    tts: TTSEngine
    vad: vad.VAD

    async def aclose(self) -> None:
        await self.stt.aclose()
        await self.tts.aclose()


def check_loops_less_often() -> None:
    """Makes LiveKit's processes check 20 times a second, not 50, that their loops are not blocked.

    The checks are most of what a process that waits for a call does. Call it before any starts; a
    value that the environment has already takes precedence.
    """
    os.environ.setdefault("LIVEKIT_AGENTS_LOOP_BLOCK_WARN_MS", "250")


def load_vad(options: TurnOptions) -> vad.VAD:
    """Loads the voice activity detector that the options name; both run in this process."""
    if options.vad_engine == "silero":
        from livekit.plugins import silero  # noqa: PLC0415  loads onnxruntime only where chosen

        return silero.VAD.load(min_silence_duration=options.min_silence)
    return voice_detector(options.min_silence)


def build_session(llm: RouterLLM, engines: Engines, turns: TurnOptions) -> AgentSession[None]:
    """Builds a session that leaves every retry to the router.

    The session contacts no service besides those that its engines and connections name. A voice of
    this machine speaks while the end of a turn is still being decided; for a service's that would
    be money for words that are not always played.
    """
    return AgentSession(
        stt=engines.stt,
        llm=llm,
        tts=engines.tts,
        vad=engines.vad,
        turn_handling={
            # Both are named: left to itself, LiveKit would use its cloud under `dev`.
            "turn_detection": _detection(turns),
            "interruption": {"mode": "vad"},
            "endpointing": {"min_delay": turns.min_delay, "max_delay": turns.max_delay},
            "preemptive_generation": {
                "enabled": turns.preemptive,
                "preemptive_tts": speaks_here(engines.tts),
            },
        },
        conn_options=SessionConnectOptions(
            llm_conn_options=APIConnectOptions(max_retry=0),
            # The router answers for every failure; a call never ends because of one.
            max_unrecoverable_errors=1_000_000,
        ),
    )


def _detection(turns: TurnOptions) -> Any:
    if turns.detection != "v1-mini":
        return "vad"
    if not turns.heeds_words:
        return inference.TurnDetector(version="v1-mini")
    return EndOfTurn(Delays(least=turns.min_delay, most=turns.max_delay))


def audio_input(frame_ms: int = 20) -> room_io.AudioInputOptions:
    """Takes the caller's sound at the one rate that all its listeners use.

    They are the voice detector, the turn detector and the local recognisers: none of them then
    resamples every frame.
    """
    return room_io.AudioInputOptions(
        sample_rate=RATE, frame_size_ms=frame_ms, noise_cancellation=None
    )


def room_options(voiced: io.TextOutput | None = None) -> room_io.RoomOptions:
    """Lets callers speak, type, listen and read. `hang_up_at_end` deletes the room.

    `voiced` receives the agent's words as well, at the pace of its voice.
    """
    return room_io.RoomOptions(
        audio_input=audio_input(),
        text_input=False,  # `typed_messages` reads what callers type
        audio_output=True,
        text_output=room_io.TextOutputOptions(next_in_chain=voiced),
        delete_room_on_close=False,
    )


def hang_up_at_end(session: AgentSession[Any], ctx: JobContext) -> None:
    """Deletes the room when the session closes, but not if the agent has been sent out of it.

    Then another agent answers there: this one may have hung while that one was called.
    """
    closing: list[asyncio.Future[Any]] = []

    def on_close(_: CloseEvent) -> None:
        if ctx.room.isconnected():
            closing.append(ctx.delete_room(room_name=ctx.room.name))

    async def wait() -> None:
        if closing:
            await asyncio.wait(closing, timeout=_HANG_UP_WITHIN)

    session.on("close", on_close)
    ctx.add_shutdown_callback(wait)


def say_goodbye(session: AgentSession[Any], words: str) -> None:
    """Says the last words of a call, and ends it."""
    farewell = session.say(words, allow_interruptions=False)
    farewell.add_done_callback(lambda _: session.shutdown())
