"""One script, played to one request: what is sent, when, and where it stops."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from llm_router.clock import Clock
from llm_router.testing._formats import Format
from llm_router.testing._http import Reset, Wire
from llm_router.testing.script import Fault, Script

_DRIP = 1.0  # s between two words
_READ_IN, _MOMENT = 10, 0.002  # turns of the loop, s each, that a client needs to read
_TICK = 0.05  # s between two signs of life that say nothing


@dataclass(slots=True)
class Received:
    """A chat request as it came, and what became of it. Times are the clock's, in seconds."""

    number: int
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Mapping[str, Any]
    at: float
    words_sent: int = 0
    is_finished: bool = False
    """Whether all that the script had to say was sent."""
    disconnected_at: float | None = None
    """When the client was seen to leave before that."""

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        messages: Sequence[Mapping[str, Any]] = self.body.get("messages", [])
        return messages

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))


class Play:
    """`run` returns when all was said; raises Reset where the script drops the connection."""

    def __init__(
        self, script: Script, request: Received, wire: Wire, form: Format, clock: Clock
    ) -> None:
        self._script, self._request, self._wire = script, request, wire
        self._form, self._clock = form, clock

    async def run(self) -> None:
        script, wire = self._script, self._wire
        match script.fault:
            case Fault.HANG_BEFORE_HEADERS:
                await forever()
            case Fault.REFUSE:
                raise Reset
            case Fault.STATUS:
                told = {"retry-after": script.retry_after} if script.retry_after else {}
                return await wire.send_json(script.status, self._form.refusal(script), told)
        if not self._request.stream and script.raw is None:
            return await self._reply_whole()
        content_type = script.content_type or self._form.content_type
        await wire.send_head(200, {"content-type": content_type, **script.headers})
        if script.fault is Fault.HEADERS_THEN_NOTHING:
            await forever()
        saying = self._events() if script.raw is None else self._raw(script.raw)
        async with aclosing(saying) as events:
            async for data in events:
                await wire.send_chunk(data, cut=script.fault is Fault.SPLIT_UTF8)
        return await wire.end_chunks()

    async def _reply_whole(self) -> None:
        """The answer to a client that asked for no stream."""
        words = self._script.words_after(self._request.messages)
        await self._clock.sleep(self._script.first_token_after + self._script.gap * len(words))
        match self._script.fault:
            case Fault.RESET_BEFORE_WORD | Fault.RESET_AFTER | Fault.HALF_TOOL_CALL:
                raise Reset
            case Fault.STALL_AFTER | Fault.ROLE_ONLY | Fault.REASONING_ENDLESS:
                await forever()
            case Fault.ERROR_EVENT:
                return await self._wire.send_json(200, self._form.refusal(self._script))
        self._request.words_sent += len(words)
        said = self._form.whole(self._script, self._request.messages, words)
        return await self._wire.send_json(200, said)

    async def _events(self) -> AsyncGenerator[bytes, None]:
        while self._script.fault is Fault.KEEP_ALIVES_ONLY:
            yield self._form.blank
            await self._clock.sleep(_TICK)
        for data in self._form.opening():
            yield data
        if self._script.fault is Fault.ROLE_ONLY:
            await forever()
        await self._clock.sleep(self._script.first_token_after)
        async with aclosing(self._thoughts()) as thoughts:
            async for data in thoughts:
                yield data
        async with aclosing(self._words()) as words:
            async for data in words:
                yield data
        for data in self._form.calls(self._script):
            yield data
        if self._script.fault is Fault.HALF_TOOL_CALL:
            raise Reset
        for data in self._form.ending(self._script, self._request.body, self._request.words_sent):
            yield data

    async def _raw(self, pieces: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
        await self._clock.sleep(self._script.first_token_after)
        for piece in pieces:
            yield piece
            await self._clock.sleep(self._script.gap)
        match self._script.fault:
            case Fault.RESET_AFTER:
                raise Reset
            case Fault.STALL_AFTER:
                await forever()

    async def _thoughts(self) -> AsyncGenerator[bytes, None]:
        for thought in self._script.reasoning:
            yield self._form.thought(thought)
            await self._clock.sleep(self._script.gap)
        while self._script.fault is Fault.REASONING_ENDLESS:
            yield self._form.thought(" and then")
            await self._clock.sleep(self._script.gap or _TICK)

    async def _words(self) -> AsyncGenerator[bytes, None]:
        if self._script.fault is Fault.RESET_BEFORE_WORD:
            raise Reset
        words = self._script.words_after(self._request.messages)
        gap = _DRIP if self._script.fault is Fault.DRIP else self._script.gap
        # A script shorter than `after` fails at its end: no fault is ever skipped.
        strikes_at = min(self._script.after, len(words))
        for place in itertools.count():
            if place == strikes_at:
                match self._script.fault:
                    case Fault.RESET_AFTER:
                        await self._until_read()
                        raise Reset
                    case Fault.STALL_AFTER:
                        await forever()
                    case Fault.ERROR_EVENT:
                        yield self._form.error(self._script)
                    case Fault.GARBAGE_LINE:
                        yield self._form.garbage
            if place == len(words):
                return
            if place:
                await self._clock.sleep(gap)
            yield self._form.word(words[place])
            self._request.words_sent += 1

    async def _until_read(self) -> None:
        """A reset overtakes what has not been read."""
        for _ in range(_READ_IN):
            await self._clock.sleep(_MOMENT)


async def forever() -> None:
    """Until cancelled."""
    await asyncio.get_running_loop().create_future()
