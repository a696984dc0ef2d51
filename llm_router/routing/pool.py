"""Which endpoints may be asked, and in what order.

Nothing is worked out anew for every request: a `_RequestQueue` keeps those that fit one kind of
request in order, endpoints tell when they change, and a plan puts only those in their new place.
"""

import bisect
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from llm_router.clock import Rng, SystemRng
from llm_router.failures import Failure
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.latency import size_class
from llm_router.routing.policies.base import Policy, RankContext, RankedCandidates, RoutingContext
from llm_router.types import ChatRequest

_CHARACTERS_PER_TOKEN = 3.0
"""On the safe side for English; a prompt is taken to be a little longer than it is."""
_SESSIONS_KEPT = 10_000
_LINES_KEPT = 32
"""Kinds of request; each costs a list of endpoints. Calls of one agent are of a handful."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked for one reply. `ready`: best first. `trials`: rested endpoints that one live
    request beside another's may bring back.
    """

    ready: list[Endpoint]
    trials: list[Endpoint]
    _pool: "Pool"
    _request: ChatRequest
    _now: float
    _without: Collection[Endpoint]

    @property
    def reasons(self) -> Iterator[tuple[str, str]]:
        """For each of the others, why it may not be asked. Worked out when read: few do."""
        asked = {*self.ready, *self.trials, *self._without}
        characters = prompt_characters(self._request)
        for endpoint in self._pool.endpoints:
            if endpoint not in asked:
                limit = endpoint.limits.reached(self._now)
                other = f"at {limit.reason}" if limit else f"resting: {endpoint.breaker.reason}"
                yield endpoint.name, next(_unfit(endpoint, self._request, characters), other)


def prompt_characters(request: ChatRequest) -> int:
    characters = 0
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, str):
            characters += len(content)
        elif isinstance(content, list):
            characters += sum(len(part.get("text", "")) for part in content)
    return characters


class _RequestQueue:
    """Those that fit one kind of request, in order. `resting`: those whose breaker is not closed.

    They stand in tiers: the careful (`hedge="never"`) after those free to hedge, one of weight 0
    (drained) after its like, the last resorts at the end. The policy orders within each.
    """

    def __init__(self, places: Mapping[Endpoint, int], policy: Policy, aim: RankContext) -> None:
        self.aim, self.resting = aim, set[Endpoint]()
        self._places, self._policy = places, policy
        self._stale = set(places)
        self._at_a_limit: list[tuple[float, int, Endpoint]] = []
        """A heap, by when they may be asked again, which time alone tells."""
        self._again: dict[Endpoint, float] = {}
        self._tiers = defaultdict[tuple[bool, bool, bool], RankedCandidates[Endpoint]](
            lambda: RankedCandidates(lambda endpoint: policy.rank(endpoint, aim))
        )

    def note(self, changed: set[Endpoint]) -> None:
        self._stale |= changed & self._places.keys()

    def refresh(self, now: float) -> None:
        while self._at_a_limit and self._at_a_limit[0][0] <= now:
            self._stale.add(heapq.heappop(self._at_a_limit)[2])
        while self._stale:
            endpoint = self._stale.pop()
            if limit := endpoint.limits.reached(now):
                self.resting.discard(endpoint)
                self._tier(endpoint).discard(endpoint)
                if self._again.get(endpoint) != limit.until:
                    self._again[endpoint] = limit.until
                    waits = limit.until, self._places[endpoint], endpoint
                    heapq.heappush(self._at_a_limit, waits)
            elif endpoint.breaker.state(now) == "closed":
                self.resting.discard(endpoint)
                self._tier(endpoint).put(endpoint, self._places[endpoint])
            else:
                self.resting.add(endpoint)
                self._tier(endpoint).discard(endpoint)

    def ordered(self, turn: RoutingContext, also: Sequence[Endpoint]) -> list[Endpoint]:
        """All that are well, and `also` those, as the turn would have them."""
        for endpoint in also:
            self._tier(endpoint).put(endpoint, self._places[endpoint])
        tiers = [self._policy.choose(tier, turn) for _, tier in sorted(self._tiers.items()) if tier]
        ordered = tiers[0] if tiers else []  # each copy of a thousand is a fifth of a plan
        for tier in tiers[1:]:
            ordered += tier
        for endpoint in also:
            self._tier(endpoint).discard(endpoint)
        return ordered

    def soonest_back(self) -> list[Endpoint]:
        return sorted(self.resting, key=lambda e: (e.breaker.opens_again_at(), self._places[e]))

    def _tier(self, endpoint: Endpoint) -> RankedCandidates[Endpoint]:
        connection = endpoint.connection
        return self._tiers[
            endpoint.provider.last_resort, connection.hedge == "never", not connection.weight
        ]


class Pool:
    """The live endpoints, and which session was answered by whom.

    `by_pool`: the policies of pools that have one of their own; a request that names no such pool
    is served by `policy`. `target`: seconds to the first clause that are wanted.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        policy: Policy,
        target: float,
        *,
        by_pool: Mapping[str, Policy] | None = None,
        rng: Rng | None = None,
    ) -> None:
        self._policy, self._by_pool, self._target = policy, by_pool or {}, target
        self._rng = rng or SystemRng()
        self._lines: dict[tuple[object, ...], _RequestQueue] = {}
        self._changed = set[Endpoint]()
        self._last: dict[str, str] = {}
        self.turns = 0
        self.put(endpoints)

    def put(self, endpoints: Sequence[Endpoint]) -> None:
        """These are the ones, set up as they are now, from the next plan on."""
        self.endpoints = tuple(endpoints)
        self._contexts = sorted({e.connection.context_length or 0 for e in endpoints})
        self._lines.clear()
        for endpoint in endpoints:
            endpoint.watch(partial(self._changed.add, endpoint))

    def plan(self, request: ChatRequest, now: float, *, without: Collection[Endpoint] = ()) -> Plan:
        """`without`: those that have failed this reply, or are being asked for it already."""
        self._fade_one(now)
        line = self._line(request, now)
        resting = [e for e in line.soonest_back() if e not in without] if line.resting else []
        half_open = [e for e in resting if e.breaker.state(now) == "half-open"]
        trials = [e for e in half_open if e.connection.hedge == "allowed"]
        # One that is never asked beside another has no trial: it comes back by a failover.
        careful = [e for e in half_open if e.connection.hedge == "never"]
        ready = line.ordered(self._turn(request, line.aim), careful)
        if without:
            ready = [e for e in ready if e not in without]
        if all(e.provider.last_resort or e in careful for e in ready):
            # Nobody well is left: those that rest are asked all the same, rather than giving up.
            last = [e for e in ready if e not in resting]
            ready, trials = [e for e in resting if not e.provider.last_resort] + last, []
        return Plan(ready, trials, self, request, now, without)

    def answered(self, session_id: str, endpoint: Endpoint) -> None:
        """The session stays there, as far as the policy heeds it."""
        if not session_id:
            return
        self._last.pop(session_id, None)
        self._last[session_id] = endpoint.name
        if len(self._last) > _SESSIONS_KEPT:
            del self._last[next(iter(self._last))]

    def saturation(self, now: float) -> float:
        """How little room the models have for another call, from 0 (idle) to 1 (none may be asked).

        0.5: the best of them is predicted to need all of the wanted time to its first clause.
        """
        models = [e for e in self.endpoints if not e.provider.last_resort]
        return min((self._load(endpoint, now) for endpoint in models), default=0.0)

    def _load(self, endpoint: Endpoint, now: float) -> float:
        if endpoint.breaker.state(now) == "open" or not endpoint.may_start(now):
            return 1.0
        return min(1.0, (endpoint.predicted(0) or 0.0) / (2 * self._target))

    def _line(self, request: ChatRequest, now: float) -> _RequestQueue:
        """The line for such a request, up to date."""
        if self._changed:
            for kept in self._lines.values():
                kept.note(self._changed)
            self._changed.clear()
        characters = prompt_characters(request)
        too_short = bisect.bisect_left(self._contexts, characters / _CHARACTERS_PER_TOKEN)
        needs = bool(request.tools), bool(request.response_format), _has_image(request)
        kind = request.integration, request.pool, needs, too_short, size_class(characters)
        line = self._lines.get(kind)
        if line is None:
            line = self._lines[kind] = self._new_line(request, characters)
            if len(self._lines) > _LINES_KEPT:
                del self._lines[next(iter(self._lines))]
        line.refresh(now)
        return line

    def _new_line(self, request: ChatRequest, characters: int) -> _RequestQueue:
        places = {
            endpoint: place
            for place, endpoint in enumerate(self.endpoints)
            if not any(_unfit(endpoint, request, characters))
        }
        policy = self._by_pool.get(request.pool or "", self._policy)
        return _RequestQueue(places, policy, RankContext(size_class(characters), self._target))

    def _fade_one(self, now: float) -> None:
        """Time alone changes what is known of an endpoint too, and tells nobody: a plan looks after
        one of them, the next plan after the next.
        """
        if self.endpoints:
            self.endpoints[self.turns % len(self.endpoints)].latency.fade(now)

    def _turn(self, request: ChatRequest, aim: RankContext) -> RoutingContext:
        self.turns += 1
        session = request.session_id
        return RoutingContext(
            aim, session, self._last.get(session, ""), self.turns, self._rng.random()
        )

    def __repr__(self) -> str:
        return "\n".join(repr(endpoint) for endpoint in self.endpoints) or "no connection"


def may_follow(endpoint: Endpoint, failed: Endpoint, failure: Failure) -> bool:
    """Whether a failure at one endpoint leaves it sensible to ask another."""
    match failure.consequence.next:
        case "longer context":
            have, had = endpoint.connection.context_length, failed.connection.context_length
            return have is None or had is None or have > had
        case "another kind":
            return _kind(endpoint) != _kind(failed)
        case "none":
            return False
    return True


def _kind(endpoint: Endpoint) -> tuple[str, str]:
    connection = endpoint.connection
    return connection.provider, connection.server or urlsplit(connection.base_url).netloc


def _unfit(endpoint: Endpoint, request: ChatRequest, characters: int) -> Iterator[str]:
    """Why the endpoint cannot serve the request, the plainest reason first."""
    connection = endpoint.connection
    if not connection.is_active:
        yield "not active"
    if request.integration and not getattr(connection, f"use_in_{request.integration}"):
        yield f"not flagged for {request.integration}"
    if request.pool is not None and connection.pool != request.pool:
        yield f"not in pool {request.pool!r}"
    able = connection.capabilities
    if request.tools and not able.tools:
        yield "does not support tools"
    if request.response_format and not able.json:
        yield "does not support JSON output"
    if not able.images and _has_image(request):
        yield "does not support images"
    if able.context_length and characters / _CHARACTERS_PER_TOKEN > able.context_length:
        yield f"the prompt is longer than its {able.context_length} tokens"


def _has_image(request: ChatRequest) -> bool:
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, list) and any(part.get("type") == "image_url" for part in content):
            return True
    return False
