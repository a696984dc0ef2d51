"""What the model servers say, and the ways they fail: each fault is a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llm_router.testing.server import Fault, Script

REPLY = (
    "Yes, your table stands near our window tonight, and dinner begins at seven sharp. "
    "Parking lies behind the old café; please bring some warm coats, since evenings here "
    "grow cold. Call us again whenever plans change, we gladly help you."
)
"""Forty words, each a token, none of them twice: a repetition cannot hide."""

PRIMARY_FIRST_WORD, SPARE_FIRST_WORD, GAP = 0.15, 0.20, 0.02  # s
BREAKS_AFTER = 12  # words, where a fault strikes in the middle of a reply
LATE, SLOW = 4.0, 2.5  # s to a first word


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`primary`: how the first server's script differs while the fault lasts; `spare`: how the
    second's does. It strikes one request in `one_in`; the others are answered well.
    """

    name: str
    title: str
    primary: Mapping[str, Any] = field(default_factory=dict)
    spare: Mapping[str, Any] = field(default_factory=dict)
    one_in: int = 1
    mid_stream: bool = False

    @property
    def strikes_both(self) -> bool:
        return bool(self.spare)


def _fault(
    name: str, title: str, fault: Fault = Fault.NONE, *, mid_stream: bool = False,
    one_in: int = 1, **more: Any,
) -> Case:  # fmt: skip
    changes = more if fault is Fault.NONE else {"fault": fault, **more}
    return Case(name=name, title=title, primary=changes, one_in=one_in, mid_stream=mid_stream)


def _refuses(status: int, what: str, **more: Any) -> Case:
    name = f"status_{status}" + ("_later" if more else "")
    return _fault(name, f"HTTP {status}, {what}", Fault.STATUS, status=status, **more)


def _breaks(name: str, title: str, fault: Fault) -> Case:
    return _fault(name, title, fault, mid_stream=True)


HEALTHY = Case(name="healthy", title="healthy")
FAULTS = (
    _fault("refused", "nobody listens", Fault.REFUSE),
    _fault("hang", "hangs before headers", Fault.HANG_BEFORE_HEADERS),
    _fault("headers", "headers, then nothing", Fault.HEADERS_THEN_NOTHING),
    _fault("role_only", "a role, then nothing", Fault.ROLE_ONLY),
    _fault("keep_alives", "keep-alives, never a word", Fault.KEEP_ALIVES_ONLY),
    _fault("reasoning", "reasoning without end", Fault.REASONING_ENDLESS),
    _refuses(400, "context too long"),
    _refuses(401, "key rejected"),
    _refuses(402, "out of credit"),
    _refuses(404, "no such model"),
    _refuses(429, "rate limited"),
    _refuses(429, "rate limited for 2 s", retry_after="2"),
    _refuses(500, "internal error"),
    _refuses(503, "overloaded"),
    _fault("reset_first", "reset before a word", Fault.RESET_BEFORE_WORD),
    _fault("empty", "an empty reply", Fault.EMPTY),
    _fault("length", "nothing, for length", Fault.LENGTH_WITH_NOTHING),
    _fault("tool_cut", "a tool call cut in half", Fault.HALF_TOOL_CALL, words=()),
    _fault("tool_json", "a tool call of broken JSON", Fault.BROKEN_TOOL_JSON, words=()),
    _fault("one_in_five", "one request in five hangs", Fault.HANG_BEFORE_HEADERS, one_in=5),
    _fault("tail", "one request in ten takes 4 s", first_token_after=LATE, one_in=10),
    _fault("slow", "a steady 2.5 s to the first word", first_token_after=SLOW),
    _breaks("reset", "reset after twelve words", Fault.RESET_AFTER),
    _breaks("stall", "stalls after twelve words", Fault.STALL_AFTER),
    _breaks("drip", "a word a second", Fault.DRIP),
    _breaks("error_event", "an error in the 200, after twelve words", Fault.ERROR_EVENT),
    _breaks("garbage", "a garbled line after twelve words", Fault.GARBAGE_LINE),
    _breaks("split_utf8", "characters cut in half", Fault.SPLIT_UTF8),
    _breaks("no_finish", "ends without a finish reason", Fault.NO_FINISH_REASON),
)


def strikes_both(case: Case) -> Case:
    """The same with the spare failing too."""
    return replace(case, name=f"{case.name}_both", spare=case.primary)


CASES = (HEALTHY, *FAULTS, *(strikes_both(case) for case in FAULTS))


def script(first_word: float, changes: Mapping[str, Any]) -> Script:
    """A server's reply, with the fields of `Script` that a fault changes.

    Both servers go on with another's words when asked to, as vLLM, SGLang and llama.cpp do.
    """
    first, *rest = REPLY.split()
    fields = {
        "words": (first, *(f" {word}" for word in rest)),
        "first_token_after": first_word,
        "gap": GAP,
        "after": BREAKS_AFTER,
        "continues": True,
        **changes,
    }
    return Script(**{**fields, "fault": Fault(fields.get("fault", Fault.NONE))})
