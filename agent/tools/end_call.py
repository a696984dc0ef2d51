"""`end_call`: lets the model hang up after a goodbye."""

from collections.abc import Sequence

from livekit.agents import RunContext, StopResponse, function_tool

from agent.toolbox.tool import Tool
from agent.tools.base import ToolContext


def create(context: ToolContext) -> Sequence[Tool]:
    @function_tool
    async def end_call(run: RunContext[None]) -> None:
        """Says goodbye and ends the call. For a caller who says goodbye or wants to hang up."""
        session = run.session
        farewell = session.say(
            context.phrases.pick("goodbye", context.language, 0), allow_interruptions=False
        )
        farewell.add_done_callback(lambda _: session.shutdown())
        raise StopResponse

    return [end_call]
