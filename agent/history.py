"""Bounds the history that goes to the model: the oldest turns stay out."""

from livekit.agents import llm

from agent.budget import latest_turns

_INSTRUCTIONS = frozenset({"system", "developer"})


def bounded(context: llm.ChatContext, characters: int) -> llm.ChatContext:
    """Returns the history without its oldest turns, so that it has at most so many characters.

    A turn is what a user says with all that follows, so a tool call and its result stay together.
    Instructions and the last turn stay in any case: where those are too long for every connection,
    the router shortens the request. 0: the history as it is.
    """
    items = context.items
    if not characters or sum(map(_length, items)) <= characters:
        return context
    turns: list[list[llm.ChatItem]] = [[]]
    for item in items:
        if _is_instruction(item):
            continue
        if isinstance(item, llm.ChatMessage) and item.role == "user" and turns[-1]:
            turns.append([])
        turns[-1].append(item)
    latest = latest_turns([(turn, sum(map(_length, turn))) for turn in turns], characters)
    chosen = {id(item) for turn in latest for item in turn}
    return llm.ChatContext([item for item in items if _is_instruction(item) or id(item) in chosen])


def _is_instruction(item: llm.ChatItem) -> bool:
    return isinstance(item, llm.ChatMessage) and item.role in _INSTRUCTIONS


def _length(item: llm.ChatItem) -> int:
    if _is_instruction(item):
        return 0
    match item:
        case llm.ChatMessage():
            return len(item.text_content or "")
        case llm.FunctionCall():
            return len(item.arguments)
        case llm.FunctionCallOutput():
            return len(item.output)
    return 0
