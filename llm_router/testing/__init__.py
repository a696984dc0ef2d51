"""Fakes to test your own agent offline: no network, no keys and no waiting.

Patchbay's own tests use them. A whole test:

    from llm_router import ChatRequest
    from llm_router.testing import HANG, ManualClock, ScriptedProvider, open_scripted_router, say

    def test_the_spare_answers_when_the_first_server_hangs():
        clock = ManualClock()
        first = ScriptedProvider([[HANG]], clock=clock)
        spare = ScriptedProvider([say("We open at nine.")], clock=clock)
        question = [{"role": "user", "content": "When do you open?"}]

        async def ask():
            async with open_scripted_router({"first": first, "spare": spare}, clock) as router:
                reply = router.stream(ChatRequest(messages=question, speech=True))
                return "".join([chunk.text async for chunk in reply])

        assert clock.run(ask()) == "We open at nine."  # at once, however long the wait
        assert first.open == 0  # the stream that hung was closed

`llm_router.integrations.livekit.RouterLLM` takes such a router for tests of an AgentSession.
`InMemoryConnectionStore` is a store of connections without a database. For code that speaks HTTP,
`llm_router.testing.server.FaultyServer` is a model server on a real socket that fails on request;
`python -m llm_router.testing` runs it as a program.
"""

from llm_router.testing.clock import ManualClock
from llm_router.testing.connections import InMemoryConnectionStore
from llm_router.testing.provider import HANG, ScriptedProvider, Step, fail, say
from llm_router.testing.router import open_scripted_router

__all__ = [
    "HANG",
    "InMemoryConnectionStore",
    "ManualClock",
    "ScriptedProvider",
    "Step",
    "fail",
    "open_scripted_router",
    "say",
]
