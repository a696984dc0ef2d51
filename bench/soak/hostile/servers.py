"""The replies of a hostile server: each floods in another way, until its client leaves."""

import gzip
from collections.abc import Callable, Mapping
from itertools import chain, repeat
from typing import Any

from llm_router.testing.script import chunk, event
from llm_router.testing.server import Script

_ENDLESS_HEAD = {"x-flood": "x" * (1 << 22)}
"""Far longer than any client reads."""
_BOMB = gzip.compress(bytes(1 << 27), 9)
"""An eighth of a megabyte that holds 128 MB."""
_REPLY = event(chunk({"content": "We open at nine."})) + event(chunk({}, "stop")) + event("[DONE]")


def _delta(**delta: Any) -> bytes:
    return event(chunk(delta))


def _call(arguments: str) -> dict[str, Any]:
    return {"index": 0, "id": "call_0", "function": {"name": "lookup", "arguments": arguments}}


ATTACKS: Mapping[str, Callable[[], Script]] = {
    "endless words": lambda: Script(raw=repeat(_delta(content="And so on. ") * 20)),
    "endless thoughts": lambda: Script(raw=repeat(_delta(reasoning_content="hmm " * 20) * 20)),
    "endless blanks": lambda: Script(raw=repeat(_delta(content=" " * 200) * 20)),
    "endless keep-alives": lambda: Script(raw=repeat(b": keep-alive\n\n" * 1000)),
    "endless arguments": lambda: Script(raw=repeat(_delta(tool_calls=[_call("[1," * 100)]) * 20)),
    "an endless line": lambda: Script(raw=repeat(b"x" * 65536)),
    "a megabyte in one event": lambda: Script(raw=[_delta(content="<" * (1 << 20))]),
    "half marks": lambda: Script(raw=repeat(_delta(content="<a<{[`" * 50) * 20)),
    "deep nesting": lambda: Script(raw=[b"data: " + b'{"choices":[' * 5000 + b"\n\n"]),
    "a compressed bomb": lambda: Script(raw=[_BOMB], headers={"content-encoding": "gzip"}),
    "a trickle after the end": lambda: Script(
        raw=chain([_REPLY], repeat(b": keep-alive\n\n")), gap=0.02
    ),
    "endless headers": lambda: Script(raw=[_REPLY], headers=_ENDLESS_HEAD),
}


def next_attack(number: int) -> Script:
    """Returns the reply to a server's `number`-th request: the attacks take turns."""
    return list(ATTACKS.values())[number % len(ATTACKS)]()
