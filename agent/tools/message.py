"""`message`: takes a message for the people behind the assistant."""

import asyncio
from collections.abc import Sequence

from agent.toolbox.effects import NotDoneError
from agent.toolbox.tool import Tool, tool
from agent.tools.base import ToolContext
from llm_router.clock import utc_now
from llm_router.errors import StoreError
from llm_router.voice.messages import Message

_WITHIN = 6.0
"""Seconds in which a message must be stored; then the caller is asked to try again."""


def create(context: ToolContext) -> Sequence[Tool]:
    """Makes the tool where messages can be stored; a promise without that is worse than none."""
    if (box := context.messages) is None:
        return []

    @tool
    async def take_message(message: str, name: str = "", contact: str = "") -> str:
        """Takes a message for the people here, who will read it later.

        Ask for the message, the caller's name, and how they can be reached. Say that it is noted
        only after this tool has said so.

        Args:
            message: the message in the caller's words
            name: the caller's name
            contact: telephone number or e-mail address of the caller
        """

        async def take(key: str) -> str:
            taken = Message(
                id=key,
                room=context.room,
                assistant=context.assistant,
                name=name,
                contact=contact,
                text=message,
                created_at=utc_now(context.clock),
            )
            try:
                async with asyncio.timeout(_WITHIN):
                    await box.take(taken)
            except (StoreError, TimeoutError):
                # Stored after all or not: the same id again changes nothing.
                raise NotDoneError(
                    "the message could not be stored: tell the caller so, and try once more"
                ) from None
            return "The message is stored."

        arguments = {"message": message, "name": name, "contact": contact}
        return await context.effects.once("take_message", arguments, take)

    return [take_message]
