"""The mailbox between attempts and their reply: order, bounds, and the end of each wait."""

import asyncio
from collections.abc import Awaitable, Callable

from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.routing.attempt import Attempt
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.mailbox import Mailbox
from llm_router.testing import HANG, ManualClock, ScriptedProvider, Step
from llm_router.types import ChatRequest, Chunk

WORD = Step(0.0, Chunk(text="word"))


def played(
    *script: Step, limit: int, act: Callable[[Attempt, Mailbox[Attempt]], Awaitable[None]]
) -> None:
    """Runs `act` beside one attempt that plays the script into a mailbox."""
    clock = ManualClock()

    async def main() -> None:
        mailbox = Mailbox[Attempt](clock, limit)
        attempt = Attempt(
            Endpoint(Connection(name="a"), ScriptedProvider([script], clock=clock)),
            ChatRequest(messages=[]),
            role="first",
            size=0,
            hedge_after=1.0,
            silent_after=2.0,
            mailbox=mailbox,
            clock=clock,
        )
        await clock.sleep(1.0)
        await act(attempt, mailbox)
        mailbox.close()
        attempt.cancel()
        await attempt.wait()

    clock.run(main())


def test_a_reader_that_is_slow_slows_the_attempt_down() -> None:
    async def act(attempt: Attempt, mailbox: Mailbox[Attempt]) -> None:
        come = [attempt.characters]
        for _ in range(6):
            assert await mailbox.get(1.0)
            await SystemClock().sleep(0.1)  # time jumps once nothing else can run
            come.append(attempt.characters)
        assert come == [16, 16, 24, 24, 32, 32, 40], "four words, then two for every two read"

    played(*[WORD] * 40, limit=4, act=act)


def test_an_event_that_is_here_is_read_even_when_the_wait_is_over() -> None:
    async def act(attempt: Attempt, mailbox: Mailbox[Attempt]) -> None:
        assert await mailbox.get(0.0) == (attempt, WORD.chunk)
        assert await mailbox.get(0.0) is None

    played(WORD, HANG, limit=4, act=act)


def test_each_wait_ends_at_its_own_time_whatever_the_one_before() -> None:
    clock = ManualClock()

    async def main() -> None:
        mailbox = Mailbox[Attempt](clock)
        for until in (5.0, 6.0, 6.5):
            assert await mailbox.get(until) is None
            assert until <= clock.now() < until + 0.001
        assert await mailbox.get(6.0) is None, "a time that has passed"
        assert clock.now() < 6.501
        mailbox.close()

    clock.run(main())


def test_a_wait_that_ends_late_has_what_came_while_the_loop_stood_still() -> None:
    clock = ManualClock()

    async def main() -> None:
        mailbox = Mailbox[str](clock)

        async def send(at: float) -> None:
            await clock.sleep(at)
            for _ in range(10):  # a task reads from the network, another one parses, and so on
                await clock.sleep(0)
            mailbox.post("sender", WORD.chunk)

        sending = asyncio.create_task(send(0.9))
        asyncio.get_running_loop().call_later(0.5, clock.advance, 2.0)  # the loop stands still
        assert await mailbox.get(1.0) == ("sender", WORD.chunk)
        await sending
        asyncio.get_running_loop().call_later(0.5, clock.advance, 2.0)
        assert await mailbox.get(clock.now() + 1.0) is None
        mailbox.close()

    clock.run(main())


def test_a_wait_may_end_before_an_earlier_longer_wait_would_have() -> None:
    async def act(_: Attempt, mailbox: Mailbox[Attempt]) -> None:
        assert await mailbox.get(50.0)
        assert await mailbox.get(9.0) is None
        assert asyncio.get_running_loop().time() < 10.0

    played(Step(3.0, Chunk(text="word")), HANG, limit=4, act=act)


def test_a_chunk_that_is_here_is_known_before_it_is_read() -> None:
    async def act(attempt: Attempt, mailbox: Mailbox[Attempt]) -> None:
        assert mailbox.has_chunk_of(attempt)
        assert not mailbox.has_chunk_of(None)
        await mailbox.get(1.0)
        assert not mailbox.has_chunk_of(attempt), "an end is no chunk"
        await mailbox.get(1.0)
        assert not mailbox.has_chunk_of(attempt)

    played(WORD, limit=4, act=act)
