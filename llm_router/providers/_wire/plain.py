"""A conversation as one text, for models that were taught no chat format."""

from collections.abc import Sequence

from llm_router.providers._wire.request import text_of
from llm_router.types import Message

CALLER, ASSISTANT = "User:", "Assistant:"
NEXT_TURN = f"\n{CALLER}"
"""Where the model would go on to speak for the caller."""


def plain_prompt(messages: Sequence[Message], prefix: str) -> str:
    """What the model goes on with. A single message is taken as it stands; a longer conversation is
    written down as a dialogue, which a model continues as such.
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
