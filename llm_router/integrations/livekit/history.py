"""Translates LiveKit's history into messages, also one that holds something broken."""

import logging
from collections.abc import Sequence
from typing import Any

from livekit.agents import llm

from llm_router.providers._wire.extras import from_livekit
from llm_router.types import Message

_logger = logging.getLogger("llm_router")

ROUTE = "patchbay"
"""Key of a reply's route in the `extra` of LiveKit's messages and chunks."""
PHRASE = "phrase"
"""Key of the router's own phrase in the route of the reply that ends in it."""
UNFINISHED = "unfinished"
"""Key in the route of a last message whose reply is to be continued: its words were voiced by an
agent that is gone."""
NO_PICTURE = "[A picture was here that could not be read.]"
_EXPRESSIVE_GUIDE = "lk.expressive.instructions"
"""LiveKit's id of the guide for expressive voices, which it appends to every request."""


def messages_of(context: llm.ChatContext) -> tuple[Sequence[Message], llm.ChatContext]:
    """Returns the history as messages, and the context that they were made of.

    The router's own phrases are left out: the model did not say that it is sorry, and would go on
    in that vein.
    A picture that cannot be read becomes a note, and an item that cannot be translated is left out:
    a history lasts for the whole call, so it would fail every later turn.
    """
    context = _without_phrases(context)
    try:
        return _translated(context), context
    except Exception as error:  # noqa: BLE001  whatever is wrong in it, the caller waits for an answer
        _logger.warning("a history holds what cannot be sent (%s); left out", _short(error))
    usable = llm.ChatContext([sound for item in context.items if (sound := _sound(item))])
    return _translated(usable), usable


def silence_is_answer(context: llm.ChatContext) -> bool | None:
    """Returns whether an empty reply is an answer; None: the last message decides.

    The guide for expressive voices comes last in every request and asks for nothing.
    """
    items = [item for item in context.items if item.id != _EXPRESSIVE_GUIDE]
    if len(items) == len(context.items) or not items:
        return None
    last = items[-1]
    return not (isinstance(last, llm.ChatMessage) and last.role in {"user", "assistant"})


def unfinished(context: llm.ChatContext) -> tuple[llm.ChatContext, str]:
    """Returns the history without a last message that is to be continued, and that one's words.

    The words are empty if the last message is whole, as nearly always.
    """
    last = next((item for item in reversed(context.items) if _is_turn(item)), None)
    if not isinstance(last, llm.ChatMessage) or last.role != "assistant":
        return context, ""
    route = last.extra.get(ROUTE)
    if not isinstance(route, dict) or not route.get(UNFINISHED):
        return context, ""
    rest = [item for item in context.items if item is not last]
    return llm.ChatContext(rest), last.text_content or ""


def _is_turn(item: llm.ChatItem) -> bool:
    """Returns whether somebody said or did this; LiveKit adds notes of its own to a history."""
    kinds = (llm.ChatMessage, llm.FunctionCall, llm.FunctionCallOutput)
    return isinstance(item, kinds) and item.id != _EXPRESSIVE_GUIDE


def _without_phrases(context: llm.ChatContext) -> llm.ChatContext:
    if not any(_phrase(item) for item in context.items):  # the usual case
        return context
    return llm.ChatContext([rest for item in context.items if (rest := _own_words(item))])


def _phrase(item: llm.ChatItem) -> str:
    route = item.extra.get(ROUTE) if isinstance(item, llm.ChatMessage) else None
    phrase = route.get(PHRASE) if isinstance(route, dict) else None
    return phrase if isinstance(phrase, str) else ""


def _own_words(item: llm.ChatItem) -> llm.ChatItem | None:
    """Returns the item without the phrase at its end; None: it holds nothing else.

    A caller who interrupts hears, and the history holds, only the beginning of a phrase.
    """
    phrase = _phrase(item).strip().removeprefix("…").strip()
    if not phrase or not isinstance(item, llm.ChatMessage):
        return item
    text = (item.text_content or "").rstrip()
    overlap = next((n for n in range(len(phrase), 0, -1) if text.endswith(phrase[:n])), 0)
    is_whole_word = overlap == len(phrase) or not phrase[overlap].isalnum()
    if overlap and is_whole_word:
        text = text[:-overlap].rstrip(" …")
    return item.model_copy(update={"content": [text]}) if text else None


def _translated(context: llm.ChatContext) -> Sequence[Message]:
    messages, _ = context.to_provider_format("openai")
    _attach_extras(messages, context)
    return messages


def _attach_extras(messages: Sequence[dict[str, Any]], context: llm.ChatContext) -> None:
    """Adds to the messages what their vendors want back; LiveKit passes on a part of it only."""
    extras = {
        item.call_id: from_livekit(item.extra)
        for item in context.items
        if isinstance(item, llm.FunctionCall) and item.extra
    }
    if extras:  # most histories have none
        for message in messages:
            for call in message.get("tool_calls") or ():
                call.update(extras.get(call["id"], {}))


def _sound(item: llm.ChatItem) -> llm.ChatItem | None:
    """Returns the item, or a copy without what cannot be translated; None: nothing can be."""
    if isinstance(item, llm.ChatMessage):
        item = item.model_copy(update={"content": [_readable(part) for part in item.content]})
    try:
        _translated(llm.ChatContext([item]))
    except Exception as error:  # noqa: BLE001  as above
        _logger.warning("an item of a history was left out (%s)", _short(error))
        return None
    return item


def _readable(part: llm.ChatContent) -> llm.ChatContent:
    if isinstance(part, llm.ImageContent):
        try:
            llm.utils.serialize_image(part)
        except Exception:  # noqa: BLE001  a decoder may raise anything
            return NO_PICTURE
    return part


def _short(error: Exception) -> str:
    return type(error).__name__  # its text may hold a caller's words
