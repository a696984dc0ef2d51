"""From tokens to what is said: plain text work, without a model."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire.reply import ToolCalls
from llm_router.providers._wire.sse import TagSplitter
from llm_router.types import Chunk, Usage

_HALF = "\ufffd"
"""What a decoder writes for a character that is not whole yet."""
_CONTEXT = 6
"""Tokens before a new one that its spaces depend on."""


class Engine(Protocol):
    """What the provider needs of a model; _transformers_engine.py has the one there is."""

    context_length: int | None
    ends: frozenset[int]
    """Tokens after which nothing more is said."""

    def chat_prompt(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], *, goes_on: bool
    ) -> str | None:
        """The conversation as the model was taught to read it; None: it was taught no chat.

        `goes_on`: the last message is the beginning of the answer.
        """

    def encode(self, prompt: str, *, has_marks: bool) -> list[int]:
        """`has_marks`: those that begin a text stand in the prompt already."""

    def decode(self, tokens: Sequence[int]) -> str: ...

    def generate(
        self, prompt: Sequence[int], options: Mapping[str, Any], each: Callable[[int], bool]
    ) -> None:
        """Calls `each` with every token, until it answers False."""


class Words:
    """Tokens into text, as they come. A token alone cannot be decoded: half a character may be
    missing, and whether a space stands before it shows only after another.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._tokens = list(prompt[-_CONTEXT:])
        self._from, self._read = 0, len(self._tokens)

    def feed(self, token: int) -> str:
        """What `token` completes; often nothing."""
        self._tokens.append(token)
        before = self._decode(self._tokens[self._from : self._read])
        after = self._decode(self._tokens[self._from :])
        if after.endswith(_HALF) or len(after) <= len(before):
            return ""
        self._from, self._read = max(self._from, self._read - _CONTEXT), len(self._tokens)
        return after[len(before) :]


class Stops:
    """Text up to the first of some words, which are not said; their beginnings are held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.reached = False

    def feed(self, text: str) -> str:
        text = self._held + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.reached, self._held = True, ""
            return text[: min(places)]
        held = max(
            (n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])),
            default=0,
        )
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def close(self) -> str:
        held, self._held = self._held, ""
        return held


class Answer:
    """One answer, token by token. The last chunk, which `close` gives, has all that is true of the
    whole. Calls are read as most open models write them, `<tool_call>{...}</tool_call>`.

    Raises BrokenStreamError for a call that is cut or no JSON.
    """

    def __init__(
        self, words: Words, stops: Sequence[str], taken_ids: Iterable[str], *, has_tools: bool
    ) -> None:
        self._words, self._stops = words, Stops(stops)
        self._thoughts = TagSplitter("think")
        self._calls = TagSplitter("tool_call") if has_tools else None
        self._called = ""
        self._taken = taken_ids
        self.tokens = 0

    @property
    def is_over(self) -> bool:
        """Whether one of the words has come at which it is to stop."""
        return self._stops.reached

    def feed(self, token: int) -> Chunk | None:
        self.tokens += 1
        return self._chunk(self._stops.feed(self._words.feed(token)))

    def close(self, prompt_tokens: int, *, is_cut: bool) -> Chunk:
        """`is_cut`: it was ended for its length."""
        chunk = self._chunk("" if self.is_over else self._stops.close()) or Chunk()
        thoughts, calls = self._thoughts.close(), ("", "")
        if self._calls:
            calls = self._calls.close()
        calls_made = ToolCalls(self._taken)
        if called := (self._called + calls[1]).strip():
            calls_made.add([{"function": call} for call in _objects(called)])
        reason = "length" if is_cut else "stop"
        made = calls_made.close(reason)
        return Chunk(
            chunk.text + thoughts[0] + calls[0],
            chunk.reasoning + thoughts[1],
            made,
            "tool_calls" if made else reason,
            Usage(prompt_tokens, self.tokens),
        )

    def _chunk(self, text: str) -> Chunk | None:
        if not text:
            return None
        text, thought = self._thoughts.feed(text)
        if self._calls:
            text, called = self._calls.feed(text)
            self._called += called
        return Chunk(text, thought) if text or thought else None


def _objects(text: str) -> list[object]:
    """JSON objects, one after another."""
    found, place, decoder = list[object](), 0, json.JSONDecoder()
    while place < len(text):
        try:
            one, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise BrokenStreamError(
                "the answer holds a tool call that is cut or no JSON"
            ) from error
        found.append(one)
        while place < len(text) and text[place].isspace():
            place += 1
    return found
