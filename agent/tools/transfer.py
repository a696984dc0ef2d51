"""`transfer`: puts the caller through to a person of the telephone's file."""

from collections.abc import Sequence
from typing import Any

from livekit.agents import RunContext, function_tool
from livekit.agents.llm import ToolResult

from agent.staff import TRANSFER_TOOL
from agent.toolbox.effects import NotDoneError
from agent.toolbox.errors import ToolError
from agent.toolbox.tool import Tool
from agent.tools.base import ToolContext
from llm_router.voice.phone.setup import Person


def create(context: ToolContext) -> Sequence[Tool]:
    """Makes the tool where there are people to call; a model is offered no one else."""
    transfers = context.transfers
    people = {person.name: person for person in transfers.people()} if transfers else {}
    if transfers is None or not people:
        return []
    context.waiting.add(TRANSFER_TOOL)

    @function_tool(raw_schema=_schema([*people.values()]))
    async def transfer_call(raw_arguments: dict[str, object], run: RunContext[None]) -> ToolResult:
        name, about = str(raw_arguments.get("person", "")), str(raw_arguments.get("about", ""))
        person = people.get(name)
        if person is None:
            raise ToolError(f"there is no such person; there are {', '.join(people)}")
        run.disallow_interruptions()

        async def put_through(_: str) -> str:
            if reason := await transfers.transfer(person, about):
                raise NotDoneError(reason)
            return f"The caller was put through to {name}."

        try:
            result = await context.effects.once(TRANSFER_TOOL, {"person": name}, put_through)
        except NotDoneError as error:
            result = error.message
        # The caller knows how it ended: a model could only say it again, or something else.
        return ToolResult(result, reply_required=False)

    return [transfer_call]


def _schema(people: Sequence[Person]) -> dict[str, Any]:
    known = "; ".join(f"{each.name}: {each.about}" if each.about else each.name for each in people)
    person = {"type": "string", "enum": [each.name for each in people]}
    about = {
        "type": "string",
        "description": "who calls and why, in one or two sentences; the person hears it alone",
    }
    return {
        "name": TRANSFER_TOOL,
        "description": (
            "Puts the caller through to a person here. For a caller who asks for one of them, or"
            f" whom you cannot help. They are: {known}. Say nothing yourself: the caller hears"
            " that they are being connected, and how it ends."
        ),
        "parameters": {
            "type": "object",
            "properties": {"person": person, "about": about},
            "required": ["person", "about"],
            "additionalProperties": False,
        },
    }
