"""Writes a conversation as one text, for models without a chat format."""

from collections.abc import Sequence

from llm_router.providers._wire.request import text_of
from llm_router.types import Message

CALLER, ASSISTANT = "User:", "Assistant:"
NEXT_TURN = f"\n{CALLER}"
"""The text at which the model would begin to speak for the caller: a stop sequence."""


def text_prompt(messages: Sequence[Message], prefix: str) -> str:
    """Returns the text that the model is to continue.

    A single message is passed on unchanged. A longer conversation is written as a dialogue that
    ends in the assistant's turn, followed by `prefix`.
    """
    if len(messages) == 1:
        return text_of(messages[0]) + prefix
    lines = [_line(message) for message in messages if text_of(message)]
    return "\n".join([*lines, f"{ASSISTANT} {prefix}".rstrip(" ")])


def _line(message: Message) -> str:
    match message["role"]:
        case "user":
            return f"{CALLER} {text_of(message)}"
        case "assistant":
            return f"{ASSISTANT} {text_of(message)}"
    return text_of(message)
