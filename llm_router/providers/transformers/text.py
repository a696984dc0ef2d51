"""Turns tokens into text, reasoning and tool calls, without a model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from llm_router.providers._wire.machine_text import MachineTextFilter
from llm_router.providers._wire.tool_calls import ToolCallAssembler
from llm_router.types import Chunk, Usage

_INCOMPLETE = "\ufffd"
"""The character that a decoder writes for an incomplete one."""
_CONTEXT = 6
"""Earlier tokens that decide whether a space stands before a new one."""


class Engine(Protocol):
    """Runs one model; `engine.TorchEngine` implements it."""

    context_length: int | None
    end_tokens: frozenset[int]
    """Tokens that end a reply."""

    def chat_prompt(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], *, continues: bool
    ) -> str | None:
        """Renders the conversation with the model's chat template; None if it has none.

        `continues`: the last message is the beginning of the reply.
        """

    def encode(self, prompt: str, *, has_special_tokens: bool) -> list[int]:
        """Returns the prompt's tokens.

        `has_special_tokens`: the prompt already holds those that begin a text.
        """

    def decode(self, tokens: Sequence[int]) -> str: ...

    def generate(
        self, prompt: Sequence[int], options: Mapping[str, Any], on_token: Callable[[int], bool]
    ) -> None:
        """Calls `on_token` with every token, until it returns False."""


class TokenDecoder:
    """Decodes tokens incrementally.

    A single token cannot be decoded: it may hold half a character, and only the next one shows
    whether a space stands before it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._tokens = list(prompt[-_CONTEXT:])
        self._context_start = 0
        self._returned = len(self._tokens)

    def feed(self, token: int) -> str:
        """Returns the text that `token` completes; often none."""
        self._tokens.append(token)
        before = self._decode(self._tokens[self._context_start : self._returned])
        after = self._decode(self._tokens[self._context_start :])
        if after.endswith(_INCOMPLETE) or len(after) <= len(before):
            return ""
        self._context_start = max(self._context_start, self._returned - _CONTEXT)
        self._returned = len(self._tokens)
        return after[len(before) :]


class StopFilter:
    """Passes text up to the first stop sequence, and withholds the possible start of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._withheld = ""
        self.reached = False

    def feed(self, text: str) -> str:
        text = self._withheld + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.reached = True
            self._withheld = ""
            return text[: min(places)]
        withheld = max(
            (n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])),
            default=0,
        )
        self._withheld = text[len(text) - withheld :]
        return text[: len(text) - withheld]

    def close(self) -> str:
        """Returns text that was withheld as a possible stop sequence and is none."""
        withheld, self._withheld = self._withheld, ""
        return withheld


class TokenReplyParser:
    """Parses one reply, token by token; `close` returns the last chunk.

    Raises BrokenStreamError for a tool call that is cut off or unreadable.
    """

    def __init__(
        self,
        decoder: TokenDecoder,
        stops: Sequence[str],
        calls: ToolCallAssembler,
        machine_text: MachineTextFilter,
    ) -> None:
        self._decoder = decoder
        self._stops = StopFilter(stops)
        self._calls = calls
        self._machine_text = machine_text
        self.tokens = 0

    @property
    def is_over(self) -> bool:
        """Whether the reply has reached a stop sequence."""
        return self._stops.reached

    def feed(self, token: int) -> Chunk | None:
        self.tokens += 1
        return self._chunk(self._stops.feed(self._decoder.feed(token)))

    def close(self, prompt_tokens: int, *, is_cut: bool) -> Chunk:
        """Returns the last chunk; `is_cut`: the reply has reached its greatest length."""
        chunk = self._chunk("" if self.is_over else self._stops.close()) or Chunk()
        text, reasoning = self._machine_text.close()
        reason = "length" if is_cut else "stop"
        self._calls.add_written(self._machine_text, reason)
        calls = self._calls.close(reason)
        return Chunk(
            chunk.text + text,
            chunk.reasoning + reasoning,
            calls,
            "tool_calls" if calls else reason,
            Usage(prompt_tokens, self.tokens),
        )

    def _chunk(self, text: str) -> Chunk | None:
        if not text:
            return None
        text, reasoning = self._machine_text.feed(text)
        return Chunk(text, reasoning) if text or reasoning else None
