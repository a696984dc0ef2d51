"""Plays one script to one request: sends its words on time and fails where its fault says."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from llm_router.clock import Clock
from llm_router.testing._formats import Format
from llm_router.testing._http import Reset, Wire
from llm_router.testing.script import Fault, Script

_DRIP_GAP = 1.0  # s between two words
_READ_PAUSES = 10  # how often to yield so that the client reads what was sent
_READ_PAUSE = 0.002  # s
_KEEP_ALIVE_GAP = 0.05  # s


@dataclass(slots=True)
class ReceivedRequest:
    """A chat request and the outcome of its reply. Times are the clock's, in seconds."""

    number: int
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Mapping[str, Any]
    """Empty for one that is no JSON."""
    at: float
    """Time of arrival."""
    content: bytes = b""
    """The body as it came."""
    words_sent: int = 0
    is_finished: bool = False
    """True once the script was played to its end."""
    disconnected_at: float | None = None
    """Time at which the client disconnected before that, or None."""

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        messages: Sequence[Mapping[str, Any]] = self.body.get("messages", [])
        return messages

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))


class ScriptPlayer:
    """Sends one script as the reply to one request."""

    def __init__(
        self, script: Script, request: ReceivedRequest, wire: Wire, form: Format, clock: Clock
    ) -> None:
        self._script = script
        self._request = request
        self._wire = wire
        self._form = form
        self._clock = clock

    async def run(self) -> None:
        """Plays the script to its end. Raises Reset where it drops the connection."""
        script = self._script
        wire = self._wire
        match script.fault:
            case Fault.HANG_BEFORE_HEADERS:
                await forever()
            case Fault.REFUSE:
                raise Reset
            case Fault.STATUS:
                extra = {"retry-after": script.retry_after} if script.retry_after else {}
                return await wire.send_json(script.status, self._form.error_body(script), extra)
        if not self._request.stream and script.raw is None:
            return await self._send_completion()
        content_type = script.content_type or self._form.content_type
        await wire.send_head(200, {"content-type": content_type, **script.headers})
        if script.fault is Fault.HEADERS_THEN_NOTHING:
            await forever()
        events = self._events() if script.raw is None else self._raw(script.raw)
        async with aclosing(events):
            async for data in events:
                await wire.send_chunk(data, cut=script.fault is Fault.SPLIT_UTF8)
        return await wire.end_chunks()

    async def _send_completion(self) -> None:
        """Answers a client that did not ask for a stream."""
        words = self._script.remaining_words(self._request.messages)
        await self._clock.sleep(self._script.first_token_after + self._script.gap * len(words))
        match self._script.fault:
            case Fault.RESET_BEFORE_WORD | Fault.RESET_AFTER | Fault.HALF_TOOL_CALL:
                raise Reset
            case Fault.STALL_AFTER | Fault.ROLE_ONLY | Fault.REASONING_ENDLESS:
                await forever()
            case Fault.ERROR_EVENT:
                return await self._wire.send_json(200, self._form.error_body(self._script))
        self._request.words_sent += len(words)
        body = self._form.completion(self._script, self._request.messages, words)
        return await self._wire.send_json(200, body)

    async def _events(self) -> AsyncGenerator[bytes, None]:
        while self._script.fault is Fault.KEEP_ALIVES_ONLY:
            yield self._form.blank
            await self._clock.sleep(_KEEP_ALIVE_GAP)
        for data in self._form.opening():
            yield data
        if self._script.fault is Fault.ROLE_ONLY:
            await forever()
        await self._clock.sleep(self._script.first_token_after)
        async with aclosing(self._reasoning()) as reasoning:
            async for data in reasoning:
                yield data
        async with aclosing(self._words()) as words:
            async for data in words:
                yield data
        for data in self._form.tool_calls(self._script):
            yield data
        if self._script.fault is Fault.HALF_TOOL_CALL:
            raise Reset
        for data in self._form.ending(self._script, self._request.body, self._request.words_sent):
            yield data

    async def _raw(self, pieces: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
        await self._clock.sleep(self._script.first_token_after)
        for piece in pieces:
            yield piece
            await self._clock.sleep(self._script.gap)
        match self._script.fault:
            case Fault.RESET_AFTER:
                raise Reset
            case Fault.STALL_AFTER:
                await forever()

    async def _reasoning(self) -> AsyncGenerator[bytes, None]:
        for text in self._script.reasoning:
            yield self._form.reasoning(text)
            await self._clock.sleep(self._script.gap)
        while self._script.fault is Fault.REASONING_ENDLESS:
            yield self._form.reasoning(" and then")
            await self._clock.sleep(self._script.gap or _KEEP_ALIVE_GAP)

    async def _words(self) -> AsyncGenerator[bytes, None]:
        if self._script.fault is Fault.RESET_BEFORE_WORD:
            raise Reset
        words = self._script.remaining_words(self._request.messages)
        gap = _DRIP_GAP if self._script.fault is Fault.DRIP else self._script.gap
        # A script shorter than `after` fails at its end: no fault is ever skipped.
        fails_at = min(self._script.after, len(words))
        for place in itertools.count():
            if place == fails_at:
                match self._script.fault:
                    case Fault.RESET_AFTER:
                        await self._let_client_read()
                        raise Reset
                    case Fault.STALL_AFTER:
                        await forever()
                    case Fault.ERROR_EVENT:
                        yield self._form.error_event(self._script)
                    case Fault.GARBAGE_LINE:
                        yield self._form.garbage
            if place == len(words):
                return
            if place:
                await self._clock.sleep(gap)
            yield self._form.word(words[place])
            self._request.words_sent += 1

    async def _let_client_read(self) -> None:
        """Gives the client time to read what was sent: a reset discards unread bytes."""
        for _ in range(_READ_PAUSES):
            await self._clock.sleep(_READ_PAUSE)


async def forever() -> None:
    """Waits until cancelled."""
    await asyncio.get_running_loop().create_future()
