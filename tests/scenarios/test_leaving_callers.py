"""A caller hangs up while an agent begins or takes over: the call's process ends at once."""

import asyncio
from collections.abc import Sequence

import pytest
from livekit.agents import AgentSession, llm

from agent.assistant import Assistant
from agent.floor import Floor
from agent.survival.restore import Resumption
from llm_router.integrations.livekit import RouterLLM
from llm_router.routing.phrases import Phrases
from llm_router.testing import HANG, ManualClock, ScriptedProvider, open_scripted_router, say
from llm_router.testing.provider import Step
from tests.scenarios.test_voiced_history import Loudspeaker, SteadyTTS

FLOOR_AFTER = 1.0
"""Seconds until the agent may speak."""
STORY = "Once there was a king. He had a garden full of roses and a very old well."
ASKED = llm.ChatContext([llm.ChatMessage(role="user", content=["Tell me a story."])])
OWES = Resumption(context=ASKED, opening="Sorry, I was away.", owes_reply=True)


def seconds_to_close(
    left_after: float, resumption: Resumption | None, reply: Sequence[Step], floor: float
) -> float:
    """Returns how long a session takes to end whose caller leaves after so many seconds."""
    clock = ManualClock()

    async def wait() -> bool:
        await clock.sleep(floor)
        return True

    async def run() -> float:
        agent = Assistant(
            instructions="Be brief.",
            phrases=Phrases({}),
            language="en",
            filler_after=60.0,
            greeting=STORY,
            resumption=resumption,
            floor=Floor(lambda _: wait()),
        )
        model = ScriptedProvider([reply], clock=clock)
        async with open_scripted_router({"model": model}, clock) as router:
            session = AgentSession[None](llm=RouterLLM(router), tts=SteadyTTS(), vad=None)
            session.output.audio = Loudspeaker()
            await session.start(agent)
            await clock.sleep(left_after)
            began = clock.now()
            async with asyncio.timeout(300.0):
                await session.aclose()
            return clock.now() - began

    return clock.run(run())


@pytest.mark.parametrize("resumption", [None, OWES], ids=["begins", "takes over"])
@pytest.mark.parametrize("reply", [say(STORY), [HANG]], ids=["answers", "hangs"])
@pytest.mark.parametrize("left_after", [0.0, 0.5, 1.0, 1.1, 2.0, 4.0, 6.0, 20.0])
def test_a_caller_may_leave_at_any_moment(
    left_after: float, resumption: Resumption | None, reply: Sequence[Step]
) -> None:
    assert seconds_to_close(left_after, resumption, reply, FLOOR_AFTER) < 1.0


def test_an_agent_whose_caller_never_comes_ends_at_once() -> None:
    assert seconds_to_close(5.0, OWES, say(STORY), floor=1_000.0) < 1.0
