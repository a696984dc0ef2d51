"""`send_keys`: lets the model press keys, for the menus of those that it calls."""

from collections.abc import Sequence

from livekit.agents import RunContext, function_tool
from livekit.rtc.participant import PublishDTMFError

from agent.phone.keypad import KEYS
from agent.toolbox.effects import OutcomeUnknownError
from agent.toolbox.errors import ToolError
from agent.toolbox.tool import Tool
from agent.tools.base import ToolContext

_MOST = 64
_BETWEEN = 0.5
"""Seconds from one key to the next: LiveKit's SIP server takes as long for the tone of one."""
_PAUSE = 0.5
"""Seconds of a `w`, as in the dial strings of modems and of LiveKit."""


def create(context: ToolContext) -> Sequence[Tool]:
    """Makes the tool in a call by telephone."""
    if context.keys is None:
        return []

    @function_tool
    async def press_keys(run: RunContext[None], keys: str) -> str:
        """Presses keys of the telephone, to get through the menu of the other side.

        Args:
            keys: digits, * and #; each w is a pause of half a second
        """
        pressed = str(context.secrets.reveal(keys)).replace(" ", "")
        if not pressed or len(pressed) > _MOST or not set(pressed) <= {*KEYS, "w"}:
            raise ToolError(f"keys: give 1 to {_MOST} of 0-9, *, # and w")
        sender = run.session.room_io.room.local_participant

        async def send(_: str) -> str:
            for key in pressed:
                if key == "w":
                    await context.clock.sleep(_PAUSE)
                    continue
                try:
                    await sender.publish_dtmf(code=KEYS.index(key), digit=key.lower())
                except PublishDTMFError:
                    raise OutcomeUnknownError("the line did not take all keys") from None
                await context.clock.sleep(_BETWEEN)
            return "The keys are pressed."

        # The same key may be needed again: a run is repeated only for the same request.
        request = {"keys": keys, "request": run.function_call.call_id}
        return await context.effects.once("press_keys", request, send)

    return [press_keys]
