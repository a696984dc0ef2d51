"""The worker that answers the calls of this bench, each with the variant in its room's name.

It records the events of every call with their moments, on the clock that all processes of a machine
share. Its settings come from the environment: LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, and
the variables named here.
"""

import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobProcess,
    ModelSettings,
    inference,
    llm,
    stt,
)
from livekit.agents.cli.log import setup_logging
from livekit.agents.voice import room_io
from livekit.plugins import openai

from agent import stt as stt_engines
from agent import tts as tts_engines
from agent.assistant import Assistant
from agent.phrase_file import load_phrases
from agent.session import (
    Engines,
    TurnOptions,
    audio_input,
    build_session,
    check_loops_less_often,
    hang_up_at_end,
    load_vad,
    room_options,
)
from agent.speech.process.supervisor import worker_speech
from agent.speech.stt import StreamingSTT, STTOptions
from agent.speech.tts import TTSOptions
from agent.toolbox.livekit_form import for_livekit
from agent.toolbox.tool import LiveKitTool
from agent.tools import load as load_tools
from agent.tools.base import ToolContext
from bench.voice.variants import ENGINES, GREETING, OURS, Variant, variant_of
from llm_router import Connection, open_router
from llm_router.clock import SystemClock
from llm_router.integrations.livekit import RouterLLM

MODEL_URL = "BENCH_MODEL_URL"
SPARE_URL = "BENCH_SPARE_URL"
EVENTS = "BENCH_EVENTS"
"""The folder of the files with events, one for each room."""
PORT = "BENCH_WORKER_PORT"
READY = "ready"
"""The file in the folder EVENTS that gets a line whenever a process is ready for a call."""
AGENT = "voice-turn"

_PHRASES = Path(__file__).parents[2] / "config" / "prompts" / "phrases.toml"
_INSTRUCTIONS = "You answer the telephone of a small office."
_NEVER = 3600.0  # s; this bench measures answers, without fillers


class _WithoutEarlyWords(Agent):
    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterator[stt.SpeechEvent]:
        async for event in Agent.default.stt_node(self, audio, model_settings):
            if event.type is not stt.SpeechEventType.PREFLIGHT_TRANSCRIPT:
                yield event


class _StockAgent(_WithoutEarlyWords):
    def __init__(self) -> None:
        super().__init__(instructions=_INSTRUCTIONS, tools=[*_tools()])

    async def on_enter(self) -> None:
        self.session.say(GREETING)


def _tools() -> Sequence[LiveKitTool]:
    # The same tools as in a call; no model of the bench ends one.
    context = ToolContext(phrases=load_phrases(_PHRASES), hang_up=lambda _: None)
    return [for_livekit(tool) for tool in load_tools(["time", "end_call"], context)]


class _LateAssistant(_WithoutEarlyWords, Assistant):
    pass


def _agent(variant: Variant) -> Agent:
    if variant.stock:
        return _StockAgent()
    kind = Assistant if variant.early_words else _LateAssistant
    return kind(
        instructions=_INSTRUCTIONS,
        phrases=load_phrases(_PHRASES),
        language="en",
        filler_after=_NEVER,
        greeting=GREETING,
        tools=_tools(),
    )


def _session(variant: Variant, model: llm.LLM[Any], engines: Engines) -> AgentSession[None]:
    if isinstance(model, RouterLLM) and not variant.stock:
        session = build_session(model, engines, variant.turns)
        if not variant.early_voice:
            session.options.preemptive_generation["preemptive_tts"] = False
        return session
    return AgentSession(
        stt=engines.stt,
        llm=model,
        tts=engines.tts,
        vad=engines.vad,
        # LiveKit's own choice in a worker outside its cloud.
        turn_handling={
            "turn_detection": inference.TurnDetector(version="v1-mini"),
            "interruption": {"mode": "vad"},
        },
    )


def _engines(variant: Variant, process: JobProcess) -> Engines:
    loaded: Engines = process.userdata["engines"][variant.stt, variant.tts]
    detector = inference.VAD() if variant.stock else load_vad(variant.turns)
    recogniser = StreamingSTT(loaded.stt, detector) if variant.whole else loaded.stt
    return Engines(stt=recogniser, tts=loaded.tts, vad=detector)


def _options(variant: Variant) -> room_io.RoomOptions:
    options = room_options()
    options.audio_input = (
        room_io.AudioInputOptions(frame_size_ms=variant.frame_ms, noise_cancellation=None)
        if variant.stock
        else audio_input(variant.frame_ms)
    )
    return options


# ── The process of a call ────────────────────────────────────────────────────────────────────────


def _prewarm(process: JobProcess) -> None:
    detector = load_vad(TurnOptions())
    process.userdata["engines"] = {
        (stt_engine, tts_engine): Engines(
            stt=stt_engines.load(stt_engine, STTOptions()),
            tts=tts_engines.load(tts_engine, TTSOptions()),
            vad=detector,
        )
        for stt_engine, tts_engine in ENGINES
    }
    _record(READY, READY)


async def _answer(ctx: JobContext) -> None:
    variant = variant_of(ctx.room.name)
    async with AsyncExitStack() as stack:
        model = await (_adapter if variant.stock and variant.spare else _router)(variant, stack)
        session = _session(variant, model, _engines(variant, ctx.proc))
        ctx.add_shutdown_callback(stack.pop_all().aclose)
        _watch(session, ctx.room.name)
        hang_up_at_end(session, ctx)
        await session.start(
            _agent(variant),
            room=ctx.room,
            room_options=_options(variant),
            # as `agent.job` starts it
            session_host=False,
            record=False,
        )


def _servers(variant: Variant) -> list[str]:
    return [
        os.environ[name] for name in ((MODEL_URL, SPARE_URL) if variant.spare else (MODEL_URL,))
    ]


async def _router(variant: Variant, stack: AsyncExitStack) -> RouterLLM:
    servers = [
        Connection(
            name=url, base_url=url, model_name="faulty", priority=place, continuation="flags"
        )
        for place, url in enumerate(_servers(variant))
    ]
    router = await stack.enter_async_context(open_router(servers))
    await router.warm()
    return RouterLLM(router, session_id=variant.name)


async def _adapter(variant: Variant, stack: AsyncExitStack) -> llm.FallbackAdapter:
    models: list[llm.LLM[Any]] = []
    for url in _servers(variant):
        model = openai.LLM(model="faulty", base_url=url, api_key="unused")
        stack.push_async_callback(model.aclose)
        models.append(model)
    adapter = llm.FallbackAdapter(models)
    stack.push_async_callback(adapter.aclose)
    return adapter


def _watch(session: AgentSession[None], room: str) -> None:
    def on_user(event: Any) -> None:
        if event.new_state == "listening":
            _record(room, "noticed")

    def on_words(event: Any) -> None:
        if event.is_final:
            _record(room, "words")

    session.on("user_state_changed", on_user)
    session.on("user_input_transcribed", on_words)
    session.on("agent_state_changed", lambda event: _record(room, event.new_state))


def _record(file: str, event: str) -> None:
    at = time.monotonic()
    with (Path(os.environ[EVENTS]) / file).open("a") as lines:
        lines.write(json.dumps([at, event]) + "\n")


# ── The worker ───────────────────────────────────────────────────────────────────────────────────


async def _serve() -> None:
    server = AgentServer(
        setup_fnc=_prewarm,
        # Accepts the call on a busy machine, too.
        load_fnc=lambda *_: 0.0,
        load_threshold=float("inf"),
        num_idle_processes=1,
        host="127.0.0.1",
        port=int(os.environ[PORT]),
    )
    server.rtc_session(_answer, agent_name=AGENT)
    models = (
        tts_engines.speech_model(OURS.tts, TTSOptions()),
        stt_engines.speech_model(OURS.stt, STTOptions()),
    )
    with tempfile.TemporaryDirectory(prefix="voice-turn-speech-") as folder:
        used = [model for model in models if model]
        async with worker_speech(used, Path(folder), SystemClock()) as speech:
            if speech:
                await speech.tried()
            running = asyncio.create_task(server.run())
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
            await asyncio.wait({running})
            await server.aclose()


if __name__ == "__main__":
    setup_logging("INFO", devmode=False, console=False)
    check_loops_less_often()
    asyncio.run(_serve())
