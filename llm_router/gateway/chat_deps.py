"""Provides what the routes of stored chats share: the owner of a request, and the id of a chat."""

from typing import Annotated

from fastapi import Depends, Path

from llm_router.connections import rules
from llm_router.gateway.deps import CurrentActor

ChatId = Annotated[
    str,
    Path(
        description="Of the chat.",
        pattern=r"^[0-9a-f-]{36}$",
        examples=["0b0ad4f2-5c0b-4a8e-9f53-0d4a3f2b7c11"],
    ),
]


async def get_chat_owner(actor: CurrentActor) -> str:
    """Returns the owner of the API key, whose chats it has; a key without one has its own.

    Raises ForbiddenError for a role that may not use connections.
    """
    rules.require(actor, "use")
    return actor.owner or f"key:{actor.key_id}"


ChatOwner = Annotated[str, Depends(get_chat_owner)]
"""The owner of the request's chats; a route that takes it refuses all other requests."""
