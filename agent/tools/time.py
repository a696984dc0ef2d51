"""`time`: tells the date and the time, which no model knows."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.toolbox.errors import ToolError
from agent.toolbox.tool import Tool, tool
from agent.tools.base import ToolContext
from llm_router.clock import utc_now


def create(context: ToolContext) -> Sequence[Tool]:
    context.effects.only_reads("get_time")

    @tool
    async def get_time(time_zone: str = "") -> str:
        """Tells the current date and time.

        Args:
            time_zone: IANA name such as Europe/Paris; leave empty for the local time.
        """
        try:
            zone = ZoneInfo(time_zone) if time_zone else None
        except (ZoneInfoNotFoundError, ValueError):
            raise ToolError(f"{time_zone} is not the name of a time zone") from None
        # ISO 8601, which the built-in responder puts into a sentence; models are bad at weekdays.
        return utc_now(context.clock).astimezone(zone).strftime("%Y-%m-%dT%H:%M%z %A")

    return [get_time]
