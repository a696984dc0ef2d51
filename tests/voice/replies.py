"""What the model servers say, and how the first of two fails while the spare is well."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_router.testing.script import chunk, event
from llm_router.testing.server import Behaviour, Fault, FaultyServer, Script
from llm_router.types import ToolCall

REPLY = (
    "Wednesday morning, public library. Saturday evening football garden music street. "
    "Hospital parking."
)
"""No word comes twice, so that a repetition cannot hide; all are known to the listener of
recogniser.py; and the stream breaks off where a voice cannot: within a long clause."""
_BREAKS_AFTER = 8  # words


def words(text: str) -> list[str]:
    """A text as the tokens of a reply, with their spaces."""
    return re.findall(r"\s*\S+", text)


def by_role(server: FaultyServer, question: Script, result: Script) -> Behaviour:
    """Answers a question in one way and a tool's result in the other."""

    def script(number: int) -> Script:
        after_tool = server.requests[number].messages[-1]["role"] == "tool"
        return result if after_tool else question

    return script


def calling(tool: str) -> Script:
    return Script(words=[], tool_calls=[ToolCall("call_1", tool, "{}")])


def _says(first_word: float, **changes: Any) -> Script:
    fields = {"words": words(REPLY), "first_token_after": first_word, "gap": 0.02, **changes}
    return Script(**fields, after=_BREAKS_AFTER, continues=True)


_PRIMARY, _SPARE = 0.15, 0.20  # s to the first word
_WELL = _says(_SPARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """How the first server fails a question, and how the spare answers it."""

    title: str
    first: Script
    spare: Script = _WELL

    async def begin(self, first: FaultyServer, spare: FaultyServer) -> None:
        """From the next request on. A tool's result is answered well by both."""
        await first.behave(by_role(first, self.first, _says(_PRIMARY)))
        await spare.behave(by_role(spare, self.spare, _WELL))


FAILINGS: Mapping[str, Failing] = {
    "hang": Failing(title="hangs before headers", first=Script(fault=Fault.HANG_BEFORE_HEADERS)),
    "keep_alives": Failing(
        title="a role and keep-alives, never a word",
        first=Script(
            raw=[event(chunk({"role": "assistant", "content": ""})), *[b": keep-alive\n\n"] * 100],
            gap=0.05,
            fault=Fault.STALL_AFTER,
        ),
    ),
    "drip": Failing(title="drips, a word a second", first=_says(_PRIMARY, fault=Fault.DRIP)),
    "stall": Failing(
        title="stalls in mid-sentence", first=_says(_PRIMARY, fault=Fault.STALL_AFTER)
    ),
    "reset": Failing(
        title="is reset in mid-sentence", first=_says(_PRIMARY, fault=Fault.RESET_AFTER)
    ),
    "error_event": Failing(
        title="sends an error in mid-sentence", first=_says(_PRIMARY, fault=Fault.ERROR_EVENT)
    ),
    "no_finish_reason": Failing(
        title="ends in mid-sentence, without a finish reason",
        first=_says(_PRIMARY, words=words(REPLY)[:_BREAKS_AFTER], fault=Fault.NO_FINISH_REASON),
    ),
    "half_tool_call": Failing(
        title="breaks off within a tool call",
        first=Script(
            words=[],
            tool_calls=[ToolCall("call_1", "get_time", '{"time_zone": ""}')],
            first_token_after=_PRIMARY,
            fault=Fault.HALF_TOOL_CALL,
        ),
        spare=calling("get_time"),
    ),
}
