"""The ways in which the model servers fail: each fault is a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.servers.model_server import ALWAYS
from llm_router.testing.server import Fault

LATE = 4.0
"""Seconds to the first word of a request that takes too long."""
SLOW = 2.5
"""Seconds to the first word of a server that is always slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault. `primary`, `spare`: the fields in which the script of the first and of the second
    server differs. It strikes the requests that `pattern` selects at the first server and, where
    `spare_pattern` is None, at the second; the other replies are healthy. The patterns begin anew
    with each case, with `every_turn` even with each turn. `servers`: how many a contender has.
    """

    name: str
    title: str
    primary: Mapping[str, Any] = field(default_factory=dict)
    spare: Mapping[str, Any] = field(default_factory=dict)
    pattern: Sequence[bool] = ALWAYS
    every_turn: bool = False
    servers: int = 2

    @property
    def strikes_both(self) -> bool:
        return bool(self.spare)


def one_in(requests: int) -> Sequence[bool]:
    """Returns the pattern that selects the last of so many requests."""
    return (*[False] * (requests - 1), True)


def _fault(
    name: str,
    title: str,
    fault: Fault = Fault.NONE,
    *,
    pattern: Sequence[bool] = ALWAYS,
    **changes: Any,
) -> Case:
    primary = changes if fault is Fault.NONE else {"fault": fault, **changes}
    return Case(name=name, title=title, primary=primary, pattern=pattern)


def _status(status: int, what: str, **changes: Any) -> Case:
    name = f"status_{status}" + ("_later" if changes else "")
    return _fault(name, f"HTTP {status}, {what}", Fault.STATUS, status=status, **changes)


HEALTHY = Case(name="healthy", title="healthy")
FAULTS = (
    _fault("refused", "connection refused", Fault.REFUSE),
    _fault("hang", "hangs before headers", Fault.HANG_BEFORE_HEADERS),
    _fault("headers", "headers, then nothing", Fault.HEADERS_THEN_NOTHING),
    _fault("role_only", "a role, then nothing", Fault.ROLE_ONLY),
    _fault("keep_alives", "keep-alives, never a word", Fault.KEEP_ALIVES_ONLY),
    _fault("reasoning", "reasoning without end", Fault.REASONING_ENDLESS),
    _status(400, "context too long"),
    _status(401, "key rejected"),
    _status(402, "out of credit"),
    _status(404, "no such model"),
    _status(429, "rate limited"),
    _status(429, "rate limited for 2 s", retry_after="2"),
    _status(500, "internal error"),
    _status(503, "overloaded"),
    _fault("reset_first", "reset before a word", Fault.RESET_BEFORE_WORD),
    _fault("empty", "an empty reply", Fault.EMPTY),
    _fault("length", "nothing, for length", Fault.LENGTH_WITH_NOTHING),
    _fault("tool_cut", "a tool call cut in half", Fault.HALF_TOOL_CALL, words=()),
    _fault("tool_json", "a tool call of broken JSON", Fault.BROKEN_TOOL_JSON, words=()),
    _fault(
        "one_in_five", "one request in five hangs", Fault.HANG_BEFORE_HEADERS, pattern=one_in(5)
    ),
    _fault("tail", "one request in ten takes 4 s", first_token_after=LATE, pattern=one_in(10)),
    _fault("slow", "a steady 2.5 s to the first word", first_token_after=SLOW),
    _fault("reset", "reset after twelve words", Fault.RESET_AFTER),
    _fault("stall", "stalls after twelve words", Fault.STALL_AFTER),
    _fault("drip", "a word a second", Fault.DRIP),
    _fault("error_event", "an error in the 200, after twelve words", Fault.ERROR_EVENT),
    _fault("garbage", "a garbled line after twelve words", Fault.GARBAGE_LINE),
    _fault("split_utf8", "characters cut in half", Fault.SPLIT_UTF8),
    _fault("no_finish", "ends without a finish reason", Fault.NO_FINISH_REASON),
)


def strike_both(case: Case) -> Case:
    """Returns the same fault, with the spare failing too."""
    return replace(case, name=f"{case.name}_both", spare=case.primary)


CASES = (HEALTHY, *FAULTS, *(strike_both(case) for case in FAULTS))
