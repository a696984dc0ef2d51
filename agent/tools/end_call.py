"""`end_call`: lets the model hang up after a goodbye."""

from collections.abc import Sequence

from agent.toolbox.errors import NoReplyError
from agent.toolbox.tool import Tool, tool
from agent.tools.base import ToolContext


def create(context: ToolContext) -> Sequence[Tool]:
    """Makes the tool where the conversation can be ended."""
    if (hang_up := context.hang_up) is None:
        return []

    @tool
    async def end_call() -> str:
        """Says goodbye and ends the call. For a caller who says goodbye or wants to hang up."""
        hang_up(context.phrases.pick("goodbye", context.language, 0))
        raise NoReplyError

    return [end_call]
