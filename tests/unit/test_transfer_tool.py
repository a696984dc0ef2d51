"""A model may transfer a caller to the people of the telephone's file, and to no one else."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from livekit.agents.llm import ToolResult

from agent.staff import TRANSFER_TOOL
from agent.survival.outcomes import NOTHING_DONE
from agent.toolbox.errors import ToolError
from agent.tools import load
from agent.tools.base import ToolContext
from llm_router.voice.phone.setup import Person

MARA = Person(name="Mara", number="+49301234567", about="orders")
PAUL = Person(name="Paul", number="100", transfer="cold")


@dataclass
class Transfers:
    """Transfers that fail for a reason, or succeed where it is empty."""

    reason: str = ""
    staff: Sequence[Person] = (MARA, PAUL)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def people(self) -> Sequence[Person]:
        return self.staff

    async def transfer(self, person: Person, about: str) -> str:
        self.asked.append((person.name, about))
        return self.reason


class Run:
    """The part of LiveKit's context of a tool that is used."""

    is_interruptible = True

    def disallow_interruptions(self) -> None:
        self.is_interruptible = False


def tool_of(transfers: Transfers, context: ToolContext | None = None) -> Any:
    context = context or ToolContext(transfers=transfers)  # type: ignore[arg-type]  # the parts that it uses
    [tool] = load(["transfer"], context)
    return tool


async def call(tool: Any, person: str, about: str = "An order is late.") -> Any:
    return await tool({"person": person, "about": about}, Run())


def test_a_model_is_offered_the_people_of_the_file_and_what_they_are_for() -> None:
    schema = tool_of(Transfers()).info.raw_schema
    assert schema["name"] == TRANSFER_TOOL
    assert schema["parameters"]["properties"]["person"]["enum"] == ["Mara", "Paul"]
    assert "Mara: orders; Paul" in schema["description"]
    assert "+49" not in str(schema)


def test_without_anybody_to_call_there_is_no_tool() -> None:
    assert load(["transfer"], ToolContext()) == []
    empty = Transfers(staff=())
    assert load(["transfer"], ToolContext(transfers=empty)) == []  # type: ignore[arg-type]  # as above


async def test_a_caller_is_put_through_and_no_model_speaks_after_it() -> None:
    transfers = Transfers()
    done = await call(tool_of(transfers), "Mara")
    assert isinstance(done, ToolResult)
    assert (done.output, done.reply_required) == ("The caller was put through to Mara.", False)
    assert transfers.asked == [("Mara", "An order is late.")]


async def test_a_transfer_that_failed_may_be_repeated_and_one_that_succeeded_not() -> None:
    transfers = Transfers("the person's line is busy")
    tool = tool_of(transfers)
    for _ in range(2):
        failed = await call(tool, "Mara")
        assert failed.output == f"the person's line is busy{NOTHING_DONE}"
        assert not failed.reply_required
    transfers.reason = ""
    await call(tool, "Mara")
    assert "not repeated" in (await call(tool, "Mara", "Again.")).output
    assert len(transfers.asked) == 3


async def test_a_number_that_the_caller_names_is_not_called() -> None:
    transfers = Transfers()
    with pytest.raises(ToolError, match="there are Mara, Paul"):
        await call(tool_of(transfers), "+15550199")
    assert transfers.asked == []


def test_no_phrase_covers_the_wait_for_a_person() -> None:
    context = ToolContext(transfers=Transfers())  # type: ignore[arg-type]  # as above
    tool_of(Transfers(), context)
    assert context.waiting == {TRANSFER_TOOL}
