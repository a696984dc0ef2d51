"""The signals that a worker is sent, and what it does at each."""

import asyncio
import os
import signal

import pytest

from agent.stop_signals import Request, handle_signals, request_of


@pytest.mark.parametrize(
    ("number", "hands_over", "request_made"),
    [
        (signal.SIGTERM, False, Request.DRAIN),
        (signal.SIGTERM, True, Request.HAND_OVER),
        (signal.SIGINT, True, Request.DRAIN),
        (signal.SIGUSR1, False, Request.HAND_OVER),
    ],
)
def test_a_signal_lets_calls_end_or_hands_them_over(
    number: int, *, hands_over: bool, request_made: Request
) -> None:
    assert request_of(number, is_stopping=False, hands_over=hands_over) is request_made


@pytest.mark.parametrize("hands_over", [True, False])
def test_a_second_signal_ends_the_worker_unless_it_only_asks_to_hand_over(
    *, hands_over: bool
) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    requests = [request_of(one, is_stopping=True, hands_over=hands_over) for one in numbers]
    assert requests == [Request.EXIT, Request.EXIT, Request.HAND_OVER]


@pytest.mark.parametrize("hands_over", [True, False])
async def test_a_worker_is_asked_by_the_signal_that_its_supervisor_sends(
    *, hands_over: bool
) -> None:
    stop, leaving = asyncio.Event(), asyncio.Event()
    handle_signals(stop, leaving, hands_over=hands_over)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await stop.wait()
        assert leaving.is_set() is hands_over
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            asyncio.get_running_loop().remove_signal_handler(number)
