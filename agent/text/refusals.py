"""Says in HTTP why a message, or a conversation, is not taken."""

from agent.budget import Refusal
from llm_router.gateway.errors import Problem

_SOON = {"Retry-After": "2"}


def refused(limit: Refusal) -> Problem:
    """Returns the answer to a message that would exceed a limit."""
    match limit:
        case Refusal.MESSAGE:
            return Problem(422, "message-too-long", "The message is too long: send a shorter one.")
        case Refusal.RATE:
            wait = {"Retry-After": "20"}
            return Problem(429, "rate-limited", "Too many messages: try again in 20 s.", wait)
        case Refusal.CALL:
            detail = "The conversation has used what it may: begin another one."
            return Problem(409, "conversation-spent", detail)


def unknown() -> Problem:
    """Returns the answer to a token that is none of ours, of another site, or too old."""
    return Problem(
        401,
        "unknown-conversation",
        "This conversation cannot be read: its token is not valid any more. Begin another one.",
        {"WWW-Authenticate": "Bearer"},
    )


def over() -> Problem:
    return Problem(409, "conversation-ended", "The conversation has ended: begin another one.")


def elsewhere() -> Problem:
    return Problem(
        409, "conversation-in-call", "The conversation goes on in a call: end it to type.", _SOON
    )


def not_in_writing() -> Problem:
    return Problem(
        403,
        "mode-not-allowed",
        "Visitors of this site may talk, not type: see its `modes`.",
    )
