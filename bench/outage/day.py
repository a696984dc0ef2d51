"""A day of traffic, drawn from a seed: the questions, the state of each server at any time, and the
outcome of each question at each server.

Every draw belongs to a question and a server, not to an order of events, so that all contenders
meet the same luck (common random numbers). The distributions: log-normal bodies, a Pareto tail,
slower in busy hours; brown-outs that a vendor's servers share; slow patches and outages of single
servers.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

SECONDS = 86_400.0
TRIES = 3
"""Requests of one question to one server that have draws of their own."""
_SLOT = 10.0  # s; the state of a server changes in steps of this length
_BLOCK = 1024  # questions drawn at once
_BLOCKS_CACHED = 16

Fault = Literal["none", "hangs", "503", "refused", "empty", "breaks", "stalls", "drips"]


@dataclass(frozen=True, slots=True)
class Server:
    """A model server. `median`, `spread` (of the logarithm): of the seconds to the first word of a
    short prompt; `tail`: the share of replies that are far slower; `pace`: seconds a word. `limit`:
    requests allowed, as a multiple of a day's mean traffic; 0: any number. Prices: dollars for a
    million tokens.
    """

    name: str
    vendor: str
    median: float
    spread: float
    tail: float
    pace: float
    limit: float
    price_in: float
    price_out: float


SERVERS = (
    Server("north-1", "north", 0.34, 0.30, 0.015, 0.013, 1.9, 0.40, 1.60),
    Server("north-2", "north", 0.38, 0.32, 0.015, 0.014, 1.9, 0.40, 1.60),
    Server("south-1", "south", 0.48, 0.40, 0.030, 0.011, 1.5, 0.15, 0.60),
    Server("south-2", "south", 0.52, 0.40, 0.030, 0.011, 1.5, 0.15, 0.60),
    Server("own", "own", 0.75, 0.20, 0.004, 0.030, 0.0, 0.10, 0.10),
)
"""The servers in the user's order."""


@dataclass(frozen=True, slots=True)
class Prompt:
    characters: int
    share: float
    slower: float
    """Factor by which the first word takes longer."""


PROMPTS = (Prompt(1_500, 0.35, 1.0), Prompt(5_000, 0.45, 1.12), Prompt(20_000, 0.20, 1.5))
_RUSH_HOURS = ((10.0, 2.0), (15.0, 2.5), (19.5, 1.5))
"""Hour of each rush, and its width in hours."""
_QUIET = 0.12  # traffic at night, as a share of the busiest hour
_SLOWER_IN_A_RUSH = 0.25
_LONGEST_TAIL = 30.0

_ORDINARY: Mapping[Fault, float] = {
    "hangs": 0.0008, "503": 0.001, "empty": 0.0003, "breaks": 0.0015, "stalls": 0.0008,
}  # fmt: skip
"""Faults of a good day, as shares of requests."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A time, from `start` to `end` (s), in which some servers are slower or fail more often."""

    start: float
    end: float
    servers: Sequence[int]
    slower: float = 1.0
    faults: Mapping[Fault, float] = field(default_factory=dict)


class State:
    """The state of a server: its slowness and its faults."""

    def __init__(self, episodes: Sequence[Episode] = ()) -> None:
        self.slower = 1.0
        faults = dict(_ORDINARY)
        for episode in episodes:
            self.slower *= episode.slower
            faults |= episode.faults
        self._edges: list[tuple[float, Fault]] = []
        edge = 0.0
        for fault, share in faults.items():
            edge += share
            self._edges.append((edge, fault))

    def fault(self, luck: float) -> Fault:
        return next((fault for edge, fault in self._edges if luck < edge), "none")


@dataclass(frozen=True, slots=True)
class Question:
    """A caller's question. `words`: of its answer, whose first clause ends with word `clause`."""

    number: int
    at: float
    call: int
    prompt: Prompt
    words: int
    clause: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The behaviour of one server for one question.

    `first_word`: seconds to it; `pace`: seconds for each word after it; `strikes_after`: the share
    of the words before a fault that cuts off the rest.
    """

    first_word: float
    pace: float
    fault: Fault
    strikes_after: float


class Day:
    """A day of `replies` questions. The same seed is the same day."""

    def __init__(self, replies: int, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self._at, self._calls = _arrivals(replies, rng)
        self.replies = replies
        self.seed = seed
        shares = [prompt.share for prompt in PROMPTS]
        self._prompts = rng.choice(len(PROMPTS), replies, p=shares)
        self._words = np.clip(25 * np.exp(0.5 * rng.standard_normal(replies)), 4, 120).astype(int)
        self._clauses = np.minimum(rng.integers(3, 9, replies), self._words)
        self._states = _states(episodes(seed))
        self._blocks: dict[int, list[list[list[list[float]]]]] = {}

    def questions(self) -> Iterator[Question]:
        """Yields the questions in the order in which they are asked."""
        for number in range(self.replies):
            yield Question(
                number,
                self._at[number],
                self._calls[number],
                PROMPTS[self._prompts[number]],
                int(self._words[number]),
                int(self._clauses[number]),
            )

    def rate(self, server: int) -> float:
        """Returns the requests a second that the server allows; 0: any number."""
        return SERVERS[server].limit * self.replies / SECONDS

    def outcome(self, question: Question, server: int, retry: int, now: float) -> Outcome:
        """Returns the outcome of a request at this time: the first one, or a retry."""
        body, tail, fault, where = self._draws(question.number)[server][retry % TRIES]
        one = SERVERS[server]
        state = self._states[server][min(int(now / _SLOT), len(self._states[server]) - 1)]
        slower = state.slower * (1 + _SLOWER_IN_A_RUSH * rush(now)) * question.prompt.slower
        if tail < one.tail:
            slower *= min(2.5 * (tail / one.tail) ** (-1 / 1.5), _LONGEST_TAIL)
        first_word = one.median * math.exp(one.spread * body) * slower
        return Outcome(first_word, one.pace * state.slower, state.fault(fault), where)

    def _draws(self, number: int) -> list[list[list[float]]]:
        """Returns, by server and try, a normal number and three in [0, 1)."""
        block, place = divmod(number, _BLOCK)
        drawn = self._blocks.get(block)
        if drawn is None:
            rng = np.random.Generator(np.random.Philox(key=[self.seed, block]))
            numbers = rng.random((_BLOCK, len(SERVERS), TRIES, 4))
            numbers[..., 0] = rng.standard_normal((_BLOCK, len(SERVERS), TRIES))
            drawn = self._blocks[block] = numbers.tolist()
            if len(self._blocks) > _BLOCKS_CACHED:
                del self._blocks[next(iter(self._blocks))]
        return drawn[place]


def rush(seconds: float) -> float:
    """Returns how busy the time of day is, from 0 to 1."""
    hour = seconds / 3600
    return max(math.exp(-(((hour - at) / wide) ** 2)) for at, wide in _RUSH_HOURS)


def episodes(seed: int) -> list[Episode]:
    """Draws the episodes of a day. Every kind happens; its time, length and severity are drawn."""
    rng = random.Random(f"episodes {seed}")
    drawn: list[Episode] = []

    def add(servers: Sequence[int], minutes: tuple[float, float], **effects: object) -> None:
        lasts = 60 * rng.uniform(*minutes)
        start = rng.uniform(0, SECONDS - lasts)
        drawn.append(Episode(start, start + lasts, servers, **effects))  # type: ignore[arg-type]  # the fields of Episode

    all_servers = range(len(SERVERS))
    for vendor in sorted({server.vendor for server in SERVERS}):
        of_vendor = [place for place in all_servers if SERVERS[place].vendor == vendor]
        for _ in range(2):
            hangs = {"hangs": rng.uniform(0.02, 0.2)}
            add(of_vendor, (8, 30), slower=rng.uniform(2.0, 5.0), faults=hangs)
        add(of_vendor, (2, 6), faults={"503": 0.95})
    for place in all_servers:
        for _ in range(10):
            add([place], (1, 4), slower=rng.uniform(1.8, 3.0))
        for fault, minutes in (("hangs", (2, 6)), ("refused", (1, 4)), ("empty", (2, 5))):
            add([place], minutes, faults={fault: rng.uniform(0.5, 1.0)})
        for fault in ("breaks", "stalls", "drips"):
            add([place], (3, 8), faults={fault: rng.uniform(0.1, 0.4)})
    return drawn


def _states(drawn: Sequence[Episode]) -> list[list[State]]:
    """Returns the states by server and slot of the day."""
    ordinary = State()
    by_server: list[list[State]] = []
    for place in range(len(SERVERS)):
        at: dict[int, list[Episode]] = {}
        for episode in drawn:
            if place in episode.servers:
                for slot in range(int(episode.start / _SLOT), int(episode.end / _SLOT)):
                    at.setdefault(slot, []).append(episode)
        by_server.append(
            [State(at[slot]) if slot in at else ordinary for slot in range(int(SECONDS / _SLOT))]
        )
    return by_server


def _arrivals(replies: int, rng: np.random.Generator) -> tuple[list[float], list[int]]:
    """Draws the time of each question, in order, and its call. Calls begin by the traffic of the
    hour; a caller asks about eight times, a question every 8 to 25 seconds.
    """
    minutes = np.arange(0, SECONDS + 60, 60)
    rates = [_QUIET + (1 - _QUIET) * rush(minute) for minute in minutes[1:]]
    traffic = np.cumsum([0.0, *rates])
    turns = rng.geometric(1 / 8, replies + 100)
    # Some more than needed, because questions past midnight are dropped.
    turns = turns[: np.searchsorted(np.cumsum(turns), 1.03 * replies + 50)]
    begins = np.interp(rng.random(len(turns)) * traffic[-1], traffic, minutes)
    calls = np.repeat(np.arange(len(turns)), turns)
    waits = np.cumsum(rng.uniform(8, 25, len(calls)))
    at = begins[calls] + waits - waits[(np.cumsum(turns) - turns)[calls]]
    today = np.flatnonzero(at < SECONDS)
    chosen = rng.permutation(today)[:replies]
    chosen = chosen[np.argsort(at[chosen])]
    return at[chosen].tolist(), calls[chosen].tolist()
