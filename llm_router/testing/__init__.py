"""Fakes that are part of the product: test your own agents offline, and in no time.

`ScriptedProvider`, `ManualClock` and `InMemoryConnectionStore` need no network;
`llm_router.testing.server.FaultyServer` is a model server on a real socket that fails in every way
we know of.
"""

from llm_router.testing.clock import ManualClock
from llm_router.testing.connections import InMemoryConnectionStore
from llm_router.testing.provider import HANG, ScriptedProvider, Step, fail, say

__all__ = [
    "HANG",
    "InMemoryConnectionStore",
    "ManualClock",
    "ScriptedProvider",
    "Step",
    "fail",
    "say",
]
