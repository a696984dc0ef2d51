"""Servers that do with each question what the day says, and the bill for it."""

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import cache

from bench.outage.day import PROMPTS, SECONDS, SERVERS, Day, Fate, Question, Server
from llm_router.clock import Clock
from llm_router.connections.record import Continuation
from llm_router.errors import BrokenStreamError, StatusError, UnreachableError
from llm_router.types import ChatRequest, Chunk

_WORD = 6  # characters of each, its space included: 0.4 s at talking speed
_TOKENS_OF_A_WORD, _CHARACTERS_OF_A_TOKEN = 1.3, 4.0
_BATCH = 0.15  # s of words that come at once, to save steps; no router takes that for a stall
_BURST = 60.0  # s of its limit that a server lets pass at once: it counts by the minute
_DRIP = 1.0  # s between two words
_NO = 0.06  # s until a server has refused
_HAIR = 1e-6  # words; against a rounding error
_MESSAGES = {p: ({"role": "user", "content": "x" * p.characters},) for p in PROMPTS}


@dataclass(slots=True)
class Bill:
    """`requests` that were sent, `generated` words, and the `cost` of prompts and words, in
    dollars.
    """

    requests: int = 0
    generated: int = 0
    cost: float = 0.0

    def add(self, server: Server, question: Question, words: int) -> None:
        self.generated += words
        self.cost += price(server, question, words)


def price(server: Server, question: Question, words: int) -> float:
    prompt = question.prompt.characters / _CHARACTERS_OF_A_TOKEN
    return (server.price_in * prompt + server.price_out * words * _TOKENS_OF_A_WORD) / 1e6


def words_in(text: str) -> int:
    """Of an answer, or of its beginning."""
    return -(-len(text) // _WORD)


class Asked:
    """A question on its way, and how often each server was asked. Servers find it where the request
    carries what is meant for them.
    """

    def __init__(self, day: Day, question: Question) -> None:
        self.question = question
        self.text = answer(question.words, question.clause)
        self._day, self._tries = day, [0] * len(SERVERS)

    def request(self) -> ChatRequest:
        return ChatRequest(
            messages=_MESSAGES[self.question.prompt],
            speech=True,
            session_id=str(self.question.call),
            livekit_context=self,
        )

    def fate(self, server: int, now: float) -> Fate:
        self._tries[server] += 1
        return self._day.fate(self.question, server, self._tries[server] - 1, now)


@cache
def answer(words: int, clause: int) -> str:
    """No two words alike, or a seam would take one for a repetition."""
    said = [f"w{number:04d} " for number in range(words)]
    said[clause - 1] = f"w{clause:03d}, "
    said[-1] = f"w{words:03d}."
    return "".join(said)


class SimulatedServer:
    """A provider that does what the day says of its server, and writes the bill."""

    continuation: Continuation = "trailing"
    last_resort = False

    def __init__(self, place: int, day: Day, clock: Clock, bill: Bill) -> None:
        self.server, self._place, self._clock, self._bill = SERVERS[place], place, clock, bill
        self._rate = day.rate(place)
        self._tokens, self._filled_at = 0.0, -math.inf

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        asked: Asked = request.livekit_context
        fate = asked.fate(self._place, self._clock.now())
        self._bill.requests += 1
        await self._admit(fate)
        given, words = words_in(request.prefix), asked.question.words
        is_cut = fate.fault in {"breaks", "stalls"}
        end = given + max(1, int(fate.strikes_after * (words - given))) if is_cut else words
        pace = _DRIP if fate.fault == "drips" else fate.pace
        began = math.inf
        try:
            await self._clock.sleep(fate.first_word)
            if fate.fault == "empty":
                yield Chunk(finish_reason="stop")
                return
            began = self._clock.now()
            at, upto = given, given + 1
            while True:
                finish = "stop" if upto == end and not is_cut else None
                yield Chunk(text=asked.text[_WORD * at : _WORD * upto], finish_reason=finish)
                if upto == end:
                    break
                at, upto = upto, _batch_end(upto, pace, asked.question.clause, end)
                await self._clock.sleep(pace * (upto - at))
            if fate.fault == "stalls":
                await self._clock.sleep(SECONDS)
            if is_cut:
                raise BrokenStreamError("reset")
        finally:
            # Words go on being generated until nobody listens.
            spoke = self._clock.now() - began
            made = min(end - given, int(spoke / pace + _HAIR) + 1) if spoke >= 0 else 0
            self._bill.add(self.server, asked.question, made)

    async def _admit(self, fate: Fate) -> None:
        if (wait := self._over_the_limit(self._clock.now())) > 0:
            await self._clock.sleep(_NO)
            raise StatusError(429, retry_after=math.ceil(wait))
        if fate.fault == "hangs":
            await self._clock.sleep(SECONDS)
        if fate.fault == "503":
            await self._clock.sleep(_NO)
            raise StatusError(503)
        if fate.fault == "refused":
            raise UnreachableError("refused")

    def _over_the_limit(self, now: float) -> float:
        """Seconds until another request is allowed; 0: this one is (a token bucket)."""
        if not self._rate:
            return 0.0
        most = max(1.0, self._rate * _BURST)
        self._tokens = min(most, self._tokens + self._rate * (now - self._filled_at))
        self._filled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0

    async def warm(self) -> None:
        """Nothing to open."""

    async def probe(self) -> None:
        """Nobody asks."""

    async def models(self) -> Sequence[str]:
        return [self.server.name]

    async def aclose(self) -> None:
        """Nothing to close."""


def _batch_end(upto: int, pace: float, clause: int, end: int) -> int:
    """The word up to which the next chunk goes. The first clause is a chunk's end, as a voice can
    begin with it.
    """
    return min(upto + max(1, int(_BATCH / pace)), clause if upto < clause else end, end)
