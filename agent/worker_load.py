"""Measures how busy a worker is, for LiveKit to choose among workers."""

from collections.abc import Callable

from livekit.agents import AgentServer
from livekit.agents.worker import _DefaultLoadCalc

from agent.load import LoadBoard
from agent.starts import Starts


def measure_load(board: LoadBoard, starts: Starts, limit: float) -> Callable[[AgentServer], float]:
    """Makes the worker's load function: the processor's load or the models', the higher of the two.

    While call processes do not start, it is 1. With a limit of 0 it is otherwise 0, so every call
    is accepted: LiveKit sends none to a worker whose load is 1, whatever its threshold, which is
    wrong for a machine that does other work too.
    """

    def load(server: AgentServer) -> float:
        if starts.is_failing:
            return 1.0
        if not limit:
            return 0.0
        return max(_DefaultLoadCalc.get_load(server), board.read())

    return load
