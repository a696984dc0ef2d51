"""Runs a LiveKit worker whose idle processes count one reply each: `metered_worker.py FOLDER PORT`.

It needs no LiveKit server: processes and metrics exist before the first call.
"""

import asyncio
import sys
from pathlib import Path

from livekit.agents import AgentServer, JobContext, JobProcess

from agent.telemetry import share_metrics
from llm_router.routing.events import EndpointState
from llm_router.telemetry.prometheus import PrometheusObserver
from tests.events import REPLY

FOLDER = Path(sys.argv[1])


def prewarm(_: JobProcess) -> None:
    share_metrics(FOLDER)
    observer = PrometheusObserver()
    observer.reply_ended(REPLY)
    observer.endpoints_sampled([EndpointState(connection="a", breaker="open", in_flight=2)])


async def answer(_: JobContext) -> None:
    """Is never called: there is no LiveKit server."""


def main() -> None:
    share_metrics(FOLDER)
    server = AgentServer(
        setup_fnc=prewarm,
        num_idle_processes=2,
        host="127.0.0.1",
        port=0,
        ws_url="ws://127.0.0.1:9",
        api_key="key",
        api_secret="a-secret-that-signs-nothing-here",
        prometheus_port=int(sys.argv[2]),
        prometheus_multiproc_dir=str(FOLDER),
    )
    server.rtc_session(answer, agent_name="metered")
    asyncio.run(server.run())


if __name__ == "__main__":
    main()
