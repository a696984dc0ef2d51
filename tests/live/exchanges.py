"""Lists the requests that every server gets, with the answer expected of it.

The live tests send them to the servers themselves, the wire tests to recordings of the servers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from llm_router.failures import FailureClass
from llm_router.types import ChatRequest
from tests.live.kinds import Kind
from tests.live.receptionist import (
    AFTER_TOOL,
    ANSWERS,
    Expected,
    ask,
    ask_after_the_call,
    ask_for_a_person,
    ask_too_much,
)

LONG = "count"
"""The longest answer: 93 words."""
_CUT_AT = len("We are open Monday to Friday from nine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request with its expected answer.

    `fields` change the connection. The server is killed once it has sent the text `kill_after`.
    """

    name: str
    request: ChatRequest
    expected: Callable[[Kind], Expected | None]
    fields: Mapping[str, Any] = field(default_factory=dict)
    kill_after: str = ""

    def is_for(self, kind: Kind) -> bool:
        return kind.continues or not self.request.prefix


def _always(expected: Expected) -> Callable[[Kind], Expected]:
    return lambda _: expected


_ROWS = (
    Exchange(name="words", request=ask("hours"), expected=_always(ANSWERS["hours"])),
    Exchange(name="signs", request=ask("coffee"), expected=_always(ANSWERS["coffee"])),
    Exchange(name="tool_call", request=ask_for_a_person(), expected=lambda kind: kind.tool_call),
    Exchange(name="after_a_tool_call", request=ask_after_the_call(), expected=_always(AFTER_TOOL)),
    Exchange(
        name="rest_of_a_cut_answer",
        request=ask("hours", prefix=ANSWERS["hours"][:_CUT_AT]),
        expected=_always(ANSWERS["hours"][_CUT_AT:]),
    ),
    Exchange(
        name="unknown_model",
        request=ask("hours"),
        fields={"model_name": "nobody"},
        expected=lambda kind: kind.unknown_model or ANSWERS["hours"],
    ),
    Exchange(
        name="wrong_key",
        request=ask("hours"),
        fields={"api_key": "wrong"},
        expected=lambda kind: kind.wrong_key or ANSWERS["hours"],
    ),
    Exchange(name="too_long", request=ask_too_much(), expected=lambda kind: kind.too_long),
    Exchange(
        name="killed",
        request=ask(LONG),
        kill_after="three",
        expected=_always(FailureClass.BROKEN_STREAM),
    ),
)
EXCHANGES: Mapping[str, Exchange] = MappingProxyType({row.name: row for row in _ROWS})
