"""Replies of the model servers, and the ways in which the first fails while the spare is well."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_router.testing.script import chunk, event
from llm_router.testing.server import Behaviour, Fault, FaultyServer, Script
from llm_router.types import ToolCall

REPLY = (
    "Wednesday morning, public library. Saturday evening football garden music street. "
    "Hospital parking."
)
"""No word comes twice, so that a repetition shows. The stream breaks off within a long clause,
where a voice cannot pause."""
_BREAKS_AFTER = 8  # words


def words(text: str) -> list[str]:
    """Splits a text into the tokens of a reply, with their spaces."""
    return re.findall(r"\s*\S+", text)


def by_role(server: FaultyServer, question: Script, result: Script) -> Behaviour:
    """Returns a behaviour that answers a question with one script, a tool's result with another."""

    def script(number: int) -> Script:
        after_tool = server.requests[number].messages[-1]["role"] == "tool"
        return result if after_tool else question

    return script


def calling(tool: str, arguments: str = "{}") -> Script:
    return Script(words=[], tool_calls=[ToolCall("call_1", tool, arguments)])


def insisting(
    server: FaultyServer, tool: str, arguments: str, answer: Script
) -> Callable[[int], Script]:
    """Returns a behaviour that calls a tool, once more after its first result, and then answers."""

    def script(number: int) -> Script:
        results = sum(one["role"] == "tool" for one in server.requests[number].messages)
        call = ToolCall(f"call_{results + 1}", tool, arguments)
        return answer if results > 1 else Script(words=[], tool_calls=[call])

    return script


BOOKING: Mapping[str, Any] = {
    "name": "book_table",
    "description": "Books a table.",
    "method": "POST",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    "timeout": 60,
}
"""An HTTP tool with an effect, as an assistant declares it, but for its address."""


def _says(first_word: float, **changes: Any) -> Script:
    fields = {"words": words(REPLY), "first_token_after": first_word, "gap": 0.02, **changes}
    return Script(**fields, after=_BREAKS_AFTER, continues=True)


_PRIMARY, _SPARE = 0.15, 0.20  # s to the first word
_WELL = _says(_SPARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCase:
    """A failure of the first server at a question, and the spare's answer to it."""

    title: str
    first: Script
    spare: Script = _WELL

    async def apply(self, first: FaultyServer, spare: FaultyServer) -> None:
        """Sets both servers' behaviour from the next request on; both answer tool results well."""
        refuses = self.first.fault is Fault.REFUSE  # a port is closed for all requests
        await first.behave(self.first if refuses else by_role(first, self.first, _says(_PRIMARY)))
        await spare.behave(by_role(spare, self.spare, _WELL))


def _broken_call(fault: Fault, title: str) -> FailureCase:
    call = ToolCall("call_1", "get_time", '{"time_zone": ""}')
    first = Script(words=[], tool_calls=[call], first_token_after=_PRIMARY, fault=fault)
    return FailureCase(title=title, first=first, spare=calling("get_time"))


FAILURE_CASES: Mapping[str, FailureCase] = {
    "hang": FailureCase(
        title="hangs before headers", first=Script(fault=Fault.HANG_BEFORE_HEADERS)
    ),
    "keep_alives": FailureCase(
        title="a role and keep-alives, never a word",
        first=Script(
            raw=[event(chunk({"role": "assistant", "content": ""})), *[b": keep-alive\n\n"] * 100],
            gap=0.05,
            fault=Fault.STALL_AFTER,
        ),
    ),
    "drip": FailureCase(title="drips, a word a second", first=_says(_PRIMARY, fault=Fault.DRIP)),
    "stall": FailureCase(
        title="stalls in mid-sentence", first=_says(_PRIMARY, fault=Fault.STALL_AFTER)
    ),
    "reset": FailureCase(
        title="is reset in mid-sentence", first=_says(_PRIMARY, fault=Fault.RESET_AFTER)
    ),
    "error_event": FailureCase(
        title="sends an error in mid-sentence", first=_says(_PRIMARY, fault=Fault.ERROR_EVENT)
    ),
    "no_finish_reason": FailureCase(
        title="ends in mid-sentence, without a finish reason",
        first=_says(_PRIMARY, words=words(REPLY)[:_BREAKS_AFTER], fault=Fault.NO_FINISH_REASON),
    ),
    "half_tool_call": _broken_call(Fault.HALF_TOOL_CALL, "breaks off within a tool call"),
}


def _status(status: int, **changes: Any) -> FailureCase:
    script = Script(fault=Fault.STATUS, status=status, **changes)
    return FailureCase(title=f"answers {status}", first=script)


def _fault(fault: Fault, title: str, **changes: Any) -> FailureCase:
    return FailureCase(title=title, first=_says(_PRIMARY, fault=fault, **changes))


MORE_FAILURES: Mapping[str, FailureCase] = {
    "refused": FailureCase(title="is not there", first=Script(fault=Fault.REFUSE)),
    "headers_alone": _fault(Fault.HEADERS_THEN_NOTHING, "sends headers, then nothing"),
    "role_alone": _fault(Fault.ROLE_ONLY, "sends a role, then nothing"),
    "comments_alone": _fault(Fault.KEEP_ALIVES_ONLY, "sends keep-alives alone"),
    "reasoning": _fault(Fault.REASONING_ENDLESS, "reasons without end"),
    "500": _status(500),
    "503": _status(503),
    "429": _status(429),
    "429_later": _status(429, retry_after="30"),
    "401": _status(401),
    "402": _status(402),
    "404": _status(404),
    "400_context": _status(400),
    "reset_at_once": _fault(Fault.RESET_BEFORE_WORD, "is reset before a word"),
    "garbage": _fault(Fault.GARBAGE_LINE, "sends a line of garbage in mid-sentence"),
    "half_characters": _fault(
        Fault.SPLIT_UTF8, "cuts characters in half", words=[*words(REPLY), " Café", " ¡olé!"]
    ),
    "empty": _fault(Fault.EMPTY, "sends an empty reply"),
    "length": _fault(Fault.LENGTH_WITH_NOTHING, "reaches its length with nothing"),
    "broken_json": _broken_call(Fault.BROKEN_TOOL_JSON, "calls a tool with broken JSON"),
    "tail": FailureCase(title="says its first word after 4 s", first=_says(4.0)),
    "slow": FailureCase(title="says its first word after 2.5 s", first=_says(2.5)),
}
"""Failures that the bench of voices does not measure; with those above, all that are survived."""
