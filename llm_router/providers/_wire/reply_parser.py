"""Puts a reply together from what the parser of one wire reads in it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import suppress
from typing import Any

from llm_router.errors import BrokenStreamError, UpstreamError
from llm_router.providers._wire import limits
from llm_router.providers._wire.characters import CharacterJoiner
from llm_router.providers._wire.ending import Ending
from llm_router.providers._wire.extras import ExtrasCollector
from llm_router.providers._wire.machine_text import MachineTextFilter
from llm_router.providers._wire.said import Said
from llm_router.providers._wire.tool_calls import ToolCallAssembler
from llm_router.providers._wire.tools import OfferedTools
from llm_router.types import Chunk, Usage


class ReplyParser(ABC):
    """Parses one reply from its bytes.

    Text and reasoning are returned as they arrive. The finish reason, the usage and the tool calls
    hold for the whole reply and come in the last chunk, which `close` returns: some servers write
    a finish reason into every event. Every method raises BrokenStreamError for malformed data, and
    StatusError for an error inside the reply.
    """

    def __init__(
        self,
        tools: OfferedTools,
        known_ids: Iterable[str],
        origin: str = "",
        machine_text: MachineTextFilter | None = None,
    ) -> None:
        self.ending = Ending()
        self._extras = ExtrasCollector(origin)
        self._said = Said()
        self._calls = ToolCallAssembler(tools, known_ids)
        self._call_parts = 0
        self._announced = 0
        self._usage: Usage | None = None
        self._request_id = ""
        self._stop_sequence = ""
        self._text = CharacterJoiner()
        self._reasoning = CharacterJoiner()
        self._machine_text = machine_text or MachineTextFilter(tools)

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Yields the chunks of text and reasoning that `data` completes; often none.

        Once `ending.is_done`, data changes nothing.
        """

    @abstractmethod
    def _flush(self) -> Iterator[Chunk]:
        """Yields the chunks that only the end of the reply completes."""

    async def read(self, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[Chunk, None]:
        """Yields the chunks of a whole reply, all but the last, from its bytes.

        A reply that has announced its end is over, and the silence after a finish reason is
        measured from the last word or sign: what else comes meanwhile, keep-alives for example,
        prolongs nothing.
        """
        ending = self.ending
        async for piece in pieces:
            for chunk in self.feed(piece):
                yield chunk
            if ending.has_reason or ending.is_done:
                break
        while (chunks := await self._more(pieces)) is not None:
            for chunk in chunks:
                yield chunk

    async def _more(self, pieces: AsyncGenerator[bytes, None]) -> list[Chunk] | None:
        """Returns what the next bytes with words or a sign of the end hold; None: nothing comes."""
        state = self._state
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                async for piece in pieces:
                    if (chunks := [*self.feed(piece)]) or self._state != state:
                        return chunks
        return None

    @property
    def _state(self) -> tuple[int, bool, bool]:
        return self._parts, self.ending.has_reason, self.ending.is_done

    @property
    def patience(self) -> float | None:
        """The seconds to wait for more of the reply; None: it has not ended."""
        return self.ending.patience(self._parts)

    def forgive(self, error: UpstreamError) -> None:
        """Notes an error that came after a whole answer, which it does not harm; else raises it."""
        self.ending.forgive(error, parts=self._parts, ends_sentence=self._said.ends_sentence)

    def close(self) -> Iterator[Chunk]:
        """Yields the remaining chunks, with the last one. Call it when the reply has ended."""
        try:
            yield from self._flush()
        except UpstreamError as error:
            self.forgive(error)
        text, reasoning = self._joined(self._text.close(), "")
        reasoning += self._reasoning.close()
        more, thought = self._machine_text.close()
        reason = self.ending.verdict(self._parts + bool(text + more))
        self._calls.add_written(self._machine_text, reason)
        calls = self._calls.close(reason)
        reason = "tool_calls" if calls else reason
        extras = None if calls else self._extras.of_words()
        calls = self._extras.with_calls(calls)
        yield Chunk(
            text + more,
            reasoning + thought,
            calls,
            reason,
            self._usage,
            extras=extras,
            request_id=self._request_id if text or more or calls else "",
            stop_sequence=self._stop_sequence,
        )

    @property
    def has_begun(self) -> bool:
        """Whether words or calls have come."""
        return self._parts > 0

    @property
    def _parts(self) -> int:
        """The number of pieces so far that had words or tool calls."""
        return self._said.pieces + self._call_parts + len(self._machine_text.calls)

    def _announce_call(self) -> Iterator[Chunk]:
        """Yields a chunk that says that more of a tool call has come, if it has."""
        size = self._calls.size + self._machine_text.call_parts
        if size != self._announced:
            self._announced = size
            yield Chunk(calling=True)

    def _add_calls(self, calls: Any) -> None:
        self._calls.add(calls)
        self._call_parts += 1

    def _joined(self, text: str, reasoning: str) -> tuple[str, str]:
        """Joins split characters, and separates the words of the text from its machine text."""
        if reasoning:
            if len(reasoning) > limits.TEXT:
                most = f"{limits.TEXT:,} characters"
                raise BrokenStreamError(f"the answer holds a thought of more than {most}")
            reasoning = self._reasoning.feed(reasoning)
            self._machine_text.expect_no_thought()
        if text and (text := self._text.feed(text)):
            text, more = self._machine_text.feed(text)
            reasoning += more
        return text, reasoning


def nested_too_deep() -> BrokenStreamError:
    """Returns the error for an event that holds too many objects or lists within each other."""
    return BrokenStreamError("the answer holds an event that is nested too deep")
