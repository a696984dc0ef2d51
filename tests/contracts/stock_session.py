"""A session of a stock LiveKit agent, as a program: reports to LIVEKIT_OBSERVABILITY_URL and ends.

Its model is the only thing of ours, so that it answers without a network.
"""

import asyncio
import os

from livekit.agents import Agent, AgentSession
from livekit.agents.telemetry import traces

from llm_router.clock import SystemClock
from llm_router.integrations.livekit import RouterLLM
from llm_router.testing import ScriptedProvider, open_scripted_router, say

JOB, ROOM = "AJ_stock", "RM_stock"
ANSWER = "We open at nine."


async def main() -> None:
    traces._setup_cloud_tracer(
        room_id=ROOM,
        job_id=JOB,
        agent_name="stock",
        observability_url=os.environ["LIVEKIT_OBSERVABILITY_URL"],
    )
    clock = SystemClock()
    provider = ScriptedProvider([say(ANSWER)], clock=clock)
    async with (
        open_scripted_router({"cellar": provider}, clock) as router,
        AgentSession(llm=RouterLLM(router, speech=False)) as session,
    ):
        await session.start(Agent(instructions="Be brief."))
        await session.run(user_input="When do you open?")
    await asyncio.to_thread(traces._cloud.release, JOB)


if __name__ == "__main__":
    asyncio.run(main())
