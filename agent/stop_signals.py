"""Decides what a signal asks of the worker, and tells it so."""

import asyncio
import os
import signal
from enum import Enum, auto


class Request(Enum):
    """A request to the worker: to end once its calls have ended or others have them, or at once."""

    DRAIN = auto()
    HAND_OVER = auto()
    EXIT = auto()


def request_of(number: int, *, is_stopping: bool, hands_over: bool) -> Request:
    """Returns what a signal asks for. `hands_over`: SIGTERM is to hand calls over, as SIGUSR1 does.

    A second SIGINT or SIGTERM ends the worker with its calls; SIGUSR1 never does.
    """
    if number == signal.SIGUSR1:
        return Request.HAND_OVER
    if is_stopping:
        return Request.EXIT
    return Request.HAND_OVER if hands_over and number == signal.SIGTERM else Request.DRAIN


def handle_signals(stop: asyncio.Event, leaving: asyncio.Event, *, hands_over: bool) -> None:
    """Sets `stop` at a signal, and `leaving` as well at one that has the calls handed over."""

    def on_signal(number: int) -> None:
        request = request_of(number, is_stopping=stop.is_set(), hands_over=hands_over)
        if request is Request.EXIT:
            os._exit(1)
        if request is Request.HAND_OVER:
            leaving.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        loop.add_signal_handler(number, on_signal, number)
