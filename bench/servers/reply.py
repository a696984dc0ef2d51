"""The reply of the model servers, and its timing."""

from collections.abc import Mapping
from typing import Any

from llm_router.testing.server import Fault, Script

REPLY = (
    "Yes, your table stands near our window tonight, and dinner begins at seven sharp. "
    "Parking lies behind the old café; please bring some warm coats, since evenings here "
    "grow cold. Call us again whenever plans change, we gladly help you."
)
"""Forty different words, each a token, so that a repetition cannot hide."""

PRIMARY_FIRST_WORD = 0.15
"""Time to the first word of the first server while it is healthy (s)."""
SPARE_FIRST_WORD = 0.20
"""Time to the first word of the second server while it is healthy (s)."""
GAP = 0.02
"""Seconds between two words."""
BREAKS_AFTER = 12
"""Number of words before a fault in the middle of a reply."""


def script(first_word: float, changes: Mapping[str, Any]) -> Script:
    """Returns a server's reply, with the fields of `Script` that a fault changes.

    Both servers can continue the words of another, as vLLM, SGLang and llama.cpp do.
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
