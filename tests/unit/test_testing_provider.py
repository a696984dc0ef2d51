"""ScriptedProvider."""

import traceback

from llm_router.testing import ManualClock, ScriptedProvider, fail
from llm_router.types import ChatRequest


def test_an_error_raised_again_carries_no_earlier_traceback() -> None:
    clock = ManualClock()
    provider = ScriptedProvider([fail(ConnectionError("down"))], clock=clock)

    async def depths() -> list[int]:
        found = []
        for _ in range(3):
            try:
                _ = [chunk async for chunk in provider.stream(ChatRequest(messages=[]))]
            except ConnectionError as error:
                found.append(len(traceback.extract_tb(error.__traceback__)))
        return found

    first, *later = clock.run(depths())
    assert later == [first] * 2
