"""Simulated servers that behave as the day determines, and the bill for their work."""

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import cache

from bench.outage.day import PROMPTS, SECONDS, SERVERS, Day, Outcome, Question, Server
from llm_router.clock import Clock
from llm_router.connections.record import Continuation
from llm_router.errors import BrokenStreamError, StatusError, UnreachableError
from llm_router.types import ChatRequest, Chunk

_WORD = 6  # characters of a word, its space included: 0.4 s at talking speed
_TOKENS_OF_A_WORD = 1.3
_CHARACTERS_OF_A_TOKEN = 4.0
_BATCH = 0.15  # s of words that are sent at once, to save steps; too short to seem a stall
_BURST = 60.0  # s of its limit that a server admits at once: it counts by the minute
_DRIP = 1.0  # s between two words
_REFUSAL = 0.06  # s until a server has refused
_ROUNDING = 1e-6  # words
_MESSAGES = {p: ({"role": "user", "content": "x" * p.characters},) for p in PROMPTS}


@dataclass(slots=True)
class Bill:
    """The work of the servers: requests, generated words, and the cost of prompts and words in
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
    """Counts the words of an answer, or of its beginning."""
    return -(-len(text) // _WORD)


class PendingQuestion:
    """A question in flight, and the number of requests to each server.

    Servers find it in the request's `livekit_context`.
    """

    def __init__(self, day: Day, question: Question) -> None:
        self.question = question
        self.text = answer(question.words, question.clause)
        self._day = day
        self._tries = [0] * len(SERVERS)

    def request(self) -> ChatRequest:
        return ChatRequest(
            messages=_MESSAGES[self.question.prompt],
            speech=True,
            session_id=str(self.question.call),
            livekit_context=self,
        )

    def outcome(self, server: int, now: float) -> Outcome:
        self._tries[server] += 1
        return self._day.outcome(self.question, server, self._tries[server] - 1, now)


@cache
def answer(words: int, clause: int) -> str:
    """Returns an answer of different words, because a resumed reply drops repeated ones."""
    spoken = [f"w{number:04d} " for number in range(words)]
    spoken[clause - 1] = f"w{clause:03d}, "
    spoken[-1] = f"w{words:03d}."
    return "".join(spoken)


class SimulatedServer:
    """A provider that behaves as the day determines, and adds to the bill."""

    continuation: Continuation = "trailing"
    last_resort = False

    def __init__(self, place: int, day: Day, clock: Clock, bill: Bill) -> None:
        self.server = SERVERS[place]
        self._place = place
        self._clock = clock
        self._bill = bill
        self._rate = day.rate(place)
        self._tokens = 0.0
        self._filled_at = -math.inf

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        pending: PendingQuestion = request.livekit_context
        outcome = pending.outcome(self._place, self._clock.now())
        self._bill.requests += 1
        await self._admit(outcome)
        given = words_in(request.prefix)
        words = pending.question.words
        is_cut = outcome.fault in {"breaks", "stalls"}
        end = given + max(1, int(outcome.strikes_after * (words - given))) if is_cut else words
        pace = _DRIP if outcome.fault == "drips" else outcome.pace
        began = math.inf
        try:
            await self._clock.sleep(outcome.first_word)
            if outcome.fault == "empty":
                yield Chunk(finish_reason="stop")
                return
            began = self._clock.now()
            start = given
            stop = given + 1
            while True:
                finish = "stop" if stop == end and not is_cut else None
                yield Chunk(text=pending.text[_WORD * start : _WORD * stop], finish_reason=finish)
                if stop == end:
                    break
                start = stop
                stop = _batch_end(start, pace, pending.question.clause, end)
                await self._clock.sleep(pace * (stop - start))
            if outcome.fault == "stalls":
                await self._clock.sleep(SECONDS)
            if is_cut:
                raise BrokenStreamError("reset")
        finally:
            # The server generates words until the client closes the stream.
            spent = self._clock.now() - began
            made = min(end - given, int(spent / pace + _ROUNDING) + 1) if spent >= 0 else 0
            self._bill.add(self.server, pending.question, made)

    async def _admit(self, outcome: Outcome) -> None:
        if (wait := self._wait_for_limit(self._clock.now())) > 0:
            await self._clock.sleep(_REFUSAL)
            raise StatusError(429, retry_after=math.ceil(wait))
        if outcome.fault == "hangs":
            await self._clock.sleep(SECONDS)
        if outcome.fault == "503":
            await self._clock.sleep(_REFUSAL)
            raise StatusError(503)
        if outcome.fault == "refused":
            raise UnreachableError("refused")

    def _wait_for_limit(self, now: float) -> float:
        """Returns the seconds until a request is allowed (a token bucket); 0 if this one is."""
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
        """Does nothing: no connection to open."""

    async def probe(self) -> None:
        """Does nothing: this bench probes no server."""

    async def models(self) -> Sequence[str]:
        return [self.server.name]

    async def aclose(self) -> None:
        """Does nothing: no connection to close."""


def _batch_end(start: int, pace: float, clause: int, end: int) -> int:
    """Returns the word at which the next chunk ends. The first clause ends a chunk, because a voice
    can begin with it.
    """
    return min(start + max(1, int(_BATCH / pace)), clause if start < clause else end, end)
