"""A bare LiveKit worker: LiveKit's own session with the engines and the model of our worker.

Its settings come from the environment, as those of `agent.worker`; the model server's address from
the variable named here. It has no router, no store, and nothing that survives a death.
"""

import asyncio
import os
import signal
import tempfile
from pathlib import Path

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, inference
from livekit.agents.cli.log import setup_logging
from livekit.plugins import openai

from agent.call_options import all_speech_models, engine_modules, load_engines
from agent.session import Engines, check_loops_less_often
from agent.speech.process.supervisor import worker_speech
from config.settings import load_settings
from llm_router.clock import SystemClock
from llm_router.testing.server import FaultyServer

MODEL_URL = "BENCH_MODEL_URL"
UP = ("registered worker", "process initialized")
"""Words of LiveKit's log once calls can come."""
_ENGINES = "engines"


class _Greeter(Agent):
    def __init__(self, greeting: str) -> None:
        super().__init__(instructions="You answer the telephone of a small office.")
        self._greeting = greeting

    async def on_enter(self) -> None:
        self.session.say(self._greeting)


def _prewarm(process: JobProcess) -> None:
    process.userdata[_ENGINES] = load_engines(load_settings())


async def _answer(ctx: JobContext) -> None:
    engines: Engines = ctx.proc.userdata[_ENGINES]
    model = openai.LLM(model=FaultyServer.model, base_url=os.environ[MODEL_URL], api_key="unused")
    session: AgentSession[None] = AgentSession(
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
    ctx.add_shutdown_callback(model.aclose)
    greeting = load_settings().agent_greeting or "Hello."
    await session.start(_Greeter(greeting), room=ctx.room, record=False)


async def _serve(folder: Path) -> None:
    settings = load_settings()
    server = AgentServer(
        setup_fnc=_prewarm,
        # As ours: they are imported once, for all call processes.
        preload_modules=engine_modules(settings),
        # Accepts the call on a busy machine, too.
        load_fnc=lambda *_: 0.0,
        load_threshold=float("inf"),
        num_idle_processes=settings.worker_idle_processes,
        initialize_process_timeout=60,
        host="127.0.0.1",
        port=0,
    )
    server.rtc_session(_answer, agent_name=settings.agent_name)
    models = all_speech_models(settings, ())
    async with worker_speech(models, folder, SystemClock()) as speech:
        if speech:
            await speech.tried()
        running = asyncio.create_task(server.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        await asyncio.wait({running})
        await server.aclose()


def main() -> None:
    setup_logging("INFO", devmode=False, console=False)
    with tempfile.TemporaryDirectory(prefix="bare-worker-") as folder:
        check_loops_less_often()
        asyncio.run(_serve(Path(folder)))


if __name__ == "__main__":
    main()
