"""Goodbyes are spoken a few at a time, and one that cannot be spoken holds nothing up."""

import asyncio

from agent.survival.farewell import Voice, farewell_by
from llm_router.testing import ManualClock

VOICE = Voice(url="", api_key="", api_secret="", language="en", words="Goodbye.")


def test_of_many_goodbyes_a_few_are_spoken_at_a_time() -> None:
    clock, spoken, most = ManualClock(), list[str](), 0
    running = 0

    async def run(task: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await clock.sleep(7.0)
        running -= 1
        spoken.append(task)

    async def main() -> None:
        speak = farewell_by(VOICE, run)
        await asyncio.gather(*(speak(f"r{number}", "agent") for number in range(200)))

    clock.run(main())
    assert most == 3
    assert len(spoken) == 12  # the others have waited as long as a goodbye may take
    assert clock.now() <= 30.1


def test_a_goodbye_that_cannot_be_spoken_lets_the_call_end() -> None:
    async def run(task: str) -> None:
        raise OSError("no process can be started")

    async def main() -> None:
        await farewell_by(VOICE, run)("r", "agent")

    ManualClock().run(main())
