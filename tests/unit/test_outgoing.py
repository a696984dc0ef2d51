"""A later agent of a call that is placed finishes its greeting, and listens for machines."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import llm

from agent.call_start import StartedCall
from agent.dispatch import Dispatch, Outgoing
from agent.job import _take_over
from agent.outgoing import callee_of
from agent.survival.restore import Resumption
from llm_router.routing.phrases import Phrases
from llm_router.store.calls import CallStore
from llm_router.voice.calls import ANSWERED_BY, HANDED_TO, Call, CallItem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALL = Call(
    id="c", room="phone-out-1", job="j", worker="w", last_beat=NOW, started_at=NOW, updated_at=NOW
)


def taken_over(outgoing: Outgoing) -> StartedCall:
    """Returns a call that was placed, as its second agent has it."""
    settings: dict[str, Any] = {
        "agent_language": "en",
        "agent_greeting": "Hello {{name}}, are you well?",
        "vad_min_silence": 0.25,
    }
    parts: dict[str, Any] = {
        "trial": None,
        "dispatch": Dispatch(epoch=2, outgoing=outgoing),
        "resources": SimpleNamespace(phrases=Phrases({})),
        "settings": SimpleNamespace(**settings),
        "ctx": SimpleNamespace(room=SimpleNamespace(name=CALL.room)),
    }
    return cast("StartedCall", SimpleNamespace(**parts))


class Calls:
    """The store of a call whose first agent has voiced words of its greeting."""

    def __init__(self, voiced: str, **metadata: str) -> None:
        self.voiced = voiced
        self.metadata = metadata

    async def history(self, room: str) -> tuple[Call, list[CallItem]]:
        call = replace(CALL, room=room, epoch=2, voiced=self.voiced, metadata=self.metadata)
        return call, []

    async def append(self, *_: object) -> int:
        return 1


MET = Resumption(context=llm.ChatContext.empty())


@pytest.mark.parametrize(
    ("resumption", "listens"),
    [
        (None, True),
        (replace(MET, is_first=True), True),
        (replace(MET, is_machine=True), True),
        (MET, False),
    ],
)
async def test_a_later_agent_listens_for_a_machine_unless_one_before_has_met_the_party(
    resumption: Resumption | None, *, listens: bool
) -> None:
    call = taken_over(Outgoing(voicemail="Bye."))
    never: Any = None  # neither the model nor the log is asked before somebody answers
    assert (callee_of(call, never, never, resumption) is not None) is listens


async def test_a_later_agent_of_a_call_out_finishes_the_greeting_with_its_names() -> None:
    call = taken_over(Outgoing(variables={"name": "Ann"}))
    for voiced, rest in (("", "Hello Ann, are you well?"), ("Hello Ann,", "are you well?")):
        found = await _take_over(cast("CallStore", Calls(voiced)), call)
        assert found
        assert found.opening == rest


@pytest.mark.parametrize(
    ("metadata", "is_machine"),
    [
        ({ANSWERED_BY: "machine"}, True),
        ({ANSWERED_BY: "person"}, False),
        ({ANSWERED_BY: "machine", HANDED_TO: "supervisor"}, False),
    ],
)
async def test_a_later_agent_knows_whether_a_machine_is_still_there(
    metadata: dict[str, str], *, is_machine: bool
) -> None:
    call = taken_over(Outgoing(voicemail="Bye."))
    found = await _take_over(cast("CallStore", Calls("", **metadata)), call)
    assert found
    assert found.is_machine is is_machine
