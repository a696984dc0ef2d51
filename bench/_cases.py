"""What the model servers say, and the ways they fail: each fault is a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_router.testing.server import Fault, Script

REPLY = (
    "Yes, your table stands near our window tonight, and dinner begins at seven sharp. "
    "Parking lies behind the old church; please bring some warm coats, since evenings here "
    "grow cold. Call us again whenever plans change, we gladly help you."
)
"""Forty words, each a token, none of them twice: a repetition cannot hide."""

PRIMARY_FIRST_WORD, SPARE_FIRST_WORD, GAP = 0.15, 0.20, 0.02  # s
BREAKS_AFTER = 12  # words, where a fault strikes in the middle of a reply
LATE = 4.0  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`primary`: how the first server's script differs while the fault lasts. It strikes one
    request in `one_in`; the others are answered well, and so is everything at the spare.
    """

    name: str
    title: str
    primary: Mapping[str, Any] = field(default_factory=dict)
    one_in: int = 1
    mid_stream: bool = False


HEALTHY = Case(name="healthy", title="healthy")
CASES = (
    HEALTHY,
    Case(name="hang", title="hangs before headers", primary={"fault": Fault.HANG_BEFORE_HEADERS}),
    Case(name="role_only", title="a role, then nothing", primary={"fault": Fault.ROLE_ONLY}),
    Case(
        name="keep_alives",
        title="keep-alives, never a word",
        primary={"fault": Fault.KEEP_ALIVES_ONLY},
    ),
    Case(name="status_500", title="HTTP 500", primary={"fault": Fault.STATUS, "status": 500}),
    Case(name="empty", title="an empty reply", primary={"fault": Fault.EMPTY}),
    Case(
        name="one_in_five",
        title="one request in five hangs",
        primary={"fault": Fault.HANG_BEFORE_HEADERS},
        one_in=5,
    ),
    Case(
        name="tail",
        title="one request in ten takes 4 s",
        primary={"first_token_after": LATE},
        one_in=10,
    ),
    Case(
        name="reset",
        title="reset after twelve words",
        primary={"fault": Fault.RESET_AFTER},
        mid_stream=True,
    ),
    Case(
        name="stall",
        title="stalls after twelve words",
        primary={"fault": Fault.STALL_AFTER},
        mid_stream=True,
    ),
    Case(
        name="error_event",
        title="an error inside the 200 after twelve words",
        primary={"fault": Fault.ERROR_EVENT},
        mid_stream=True,
    ),
)


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
