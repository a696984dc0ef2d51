"""Pool: the live endpoints of one router, and the order in which a request asks them.

Nothing is sorted again for every request. A `_RequestQueue` holds the endpoints that fit one kind
of request in order; endpoints report when they change, and a plan moves only those.
"""

import bisect
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from llm_router.clock import Rng, SystemRng
from llm_router.routing.eligibility import (
    has_image,
    is_among,
    marks_of,
    needed_tokens,
    obstacles,
    prompt_characters,
    reductions,
)
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.latency import size_class
from llm_router.routing.policies.base import Policy, RankContext, RankedCandidates, RoutingContext
from llm_router.types import ChatRequest

_MAX_SESSIONS = 10_000
_MAX_QUEUES = 32
"""Kinds of request, each of which costs a list of endpoints. An agent's calls are of a handful."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The endpoints to ask for one reply.

    `ready`: best first. `trials`: endpoints with a half-open breaker, which may be probed beside
    the first attempt. `reduced`: endpoints that can take the request only in part.
    """

    ready: list[Endpoint]
    trials: list[Endpoint]
    reduced: Collection[Endpoint]
    _pool: "Pool"
    _request: ChatRequest
    _now: float
    _without: Collection[Endpoint]

    @property
    def reasons(self) -> Iterator[tuple[str, str]]:
        """Name of each endpoint left out, and why. Worked out when read, which is rare.

        Endpoints that the request does not choose from are not named: its caller may not know them.
        """
        asked = {*self.ready, *self.trials, *self._without}
        for endpoint in self._pool.endpoints:
            if endpoint not in asked and is_among(endpoint, self._request):
                limit = endpoint.limits.reached(self._now)
                other = f"at {limit.reason}" if limit else f"resting: {endpoint.breaker.reason}"
                yield endpoint.name, next(obstacles(endpoint, self._request), other)


class _RequestQueue:
    """The endpoints that fit one kind of request, in order. `resting`: breaker not closed.

    They stand in tiers, in this order: endpoints free to hedge, then those with `hedge="never"`,
    then the same of those that can take the request only in part (`reduced`), then the last
    resorts; within each, endpoints of weight 0 (drained) come last. The policy orders
    within a tier.
    """

    def __init__(
        self,
        places: Mapping[Endpoint, int],
        reduced: Collection[Endpoint],
        policy: Policy,
        rank_context: RankContext,
    ) -> None:
        self.rank_context = rank_context
        self.reduced = reduced
        self.resting = set[Endpoint]()
        self._places = places
        self._policy = policy
        self._stale = set(places)
        self._at_a_limit: list[tuple[float, int, Endpoint]] = []
        """A heap by the time at which they may be asked again: no change announces it."""
        self._free_at: dict[Endpoint, float] = {}
        self._tiers = defaultdict[tuple[bool, bool, bool, bool], RankedCandidates[Endpoint]](
            lambda: RankedCandidates(lambda endpoint: policy.rank(endpoint, rank_context))
        )

    def mark_stale(self, changed: set[Endpoint]) -> None:
        """Notes endpoints that `refresh` has to place again; those of other queues are ignored."""
        self._stale |= changed & self._places.keys()

    def refresh(self, now: float) -> None:
        """Places every stale endpoint: at its rank, among the resting, or with those at a limit."""
        while self._at_a_limit and self._at_a_limit[0][0] <= now:
            self._stale.add(heapq.heappop(self._at_a_limit)[2])
        while self._stale:
            endpoint = self._stale.pop()
            if limit := endpoint.limits.reached(now):
                self.resting.discard(endpoint)
                self._tier(endpoint).discard(endpoint)
                if self._free_at.get(endpoint) != limit.until:
                    self._free_at[endpoint] = limit.until
                    waiting = limit.until, self._places[endpoint], endpoint
                    heapq.heappush(self._at_a_limit, waiting)
            elif endpoint.breaker.state(now) == "closed":
                self.resting.discard(endpoint)
                self._tier(endpoint).put(endpoint, self._places[endpoint])
            else:
                self.resting.add(endpoint)
                self._tier(endpoint).discard(endpoint)

    def ordered(self, context: RoutingContext, also: Sequence[Endpoint]) -> list[Endpoint]:
        """Returns the healthy endpoints and those in `also`, in the policy's order."""
        for endpoint in also:
            self._tier(endpoint).put(endpoint, self._places[endpoint])
        choose = self._policy.choose
        tiers = [choose(tier, context) for _, tier in sorted(self._tiers.items()) if tier]
        ordered = tiers[0] if tiers else []  # each copy of a thousand is a fifth of a plan
        for tier in tiers[1:]:
            ordered += tier
        for endpoint in also:
            self._tier(endpoint).discard(endpoint)
        return ordered

    def soonest_back(self) -> list[Endpoint]:
        """Returns the resting endpoints, the one whose breaker half-opens first at the front."""
        return sorted(self.resting, key=lambda e: (e.breaker.opens_again_at(), self._places[e]))

    def _tier(self, endpoint: Endpoint) -> RankedCandidates[Endpoint]:
        connection = endpoint.connection
        return self._tiers[
            endpoint.provider.last_resort,
            endpoint in self.reduced,
            connection.hedge == "never",
            not connection.weight,
        ]


class Pool:
    """The live endpoints, and the connection that answered each session last.

    `by_pool`: policies of the pools that have one of their own; `policy` serves every other
    request. `target`: wanted seconds to the first clause.
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
        self._policy = policy
        self._by_pool = by_pool or {}
        self._target = target
        self._rng = rng or SystemRng()
        self._queues: dict[tuple[object, ...], _RequestQueue] = {}
        self._changed = set[Endpoint]()
        self._last_connections: dict[str, str] = {}
        self.turns = 0
        """Plans made so far."""
        self.set_endpoints(endpoints)

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Replaces the endpoints, as configured now, from the next plan on."""
        self.endpoints = tuple(endpoints)
        self._note_learnt()
        self._queues.clear()
        for endpoint in endpoints:
            endpoint.watch(partial(self._changed.add, endpoint))

    def _note_learnt(self) -> None:
        self._contexts = sorted({endpoint.context_length or 0 for endpoint in self.endpoints})
        """The lengths that tell kinds of prompts apart: each fits into other contexts."""
        self._refused = frozenset(chain.from_iterable(one.refused for one in self.endpoints))
        """Marks that tell requests apart: some endpoint refuses what they stand for."""

    def plan(self, request: ChatRequest, now: float, *, without: Collection[Endpoint] = ()) -> Plan:
        """Plans a reply; `without`: endpoints that have failed it or are being asked already."""
        self._fade_one(now)
        queue = self._queue(request, now)
        resting = [e for e in queue.soonest_back() if e not in without] if queue.resting else []
        half_open = [e for e in resting if e.breaker.state(now) == "half-open"]
        whole = [e for e in half_open if e not in queue.reduced]
        trials = [e for e in whole if e.connection.hedge == "allowed"]
        # An endpoint that is never asked beside another has no trial: a failover brings it back.
        wanted = request.preferred
        careful = [e for e in half_open if e.connection.hedge == "never" or e.name == wanted]
        ready = queue.ordered(self._routing_context(request, queue.rank_context), careful)
        if without:
            ready = [e for e in ready if e not in without]
        if all(e.provider.last_resort or e in careful for e in ready):
            # No healthy endpoint is left: ask the resting ones rather than give up.
            last = [e for e in ready if e not in resting]
            ready = [e for e in resting if not e.provider.last_resort] + last
            trials = []
        if wanted:
            ready.sort(key=lambda endpoint: endpoint.name != wanted)
            trials = []
        return Plan(ready, trials, queue.reduced, self, request, now, without)

    def record_answer(self, session_id: str, endpoint: Endpoint) -> None:
        """Remembers where a session was answered, for policies that prefer to stay there."""
        if not session_id:
            return
        self._last_connections.pop(session_id, None)
        self._last_connections[session_id] = endpoint.name
        if len(self._last_connections) > _MAX_SESSIONS:
            del self._last_connections[next(iter(self._last_connections))]

    def saturation(self, now: float) -> float:
        """Returns how busy the models are, from 0 (idle) to 1 (no endpoint may be asked).

        0.5: the best endpoint is predicted to need all of the wanted time to its first clause.
        """
        models = [e for e in self.endpoints if not e.provider.last_resort]
        return min((self._load(endpoint, now) for endpoint in models), default=0.0)

    def _load(self, endpoint: Endpoint, now: float) -> float:
        if endpoint.breaker.state(now) == "open" or not endpoint.may_start(now):
            return 1.0
        return min(1.0, (endpoint.predicted(0) or 0.0) / (2 * self._target))

    def _queue(self, request: ChatRequest, now: float) -> _RequestQueue:
        """Returns the queue for this kind of request, up to date."""
        if self._changed:
            if any(endpoint.has_learnt for endpoint in self._changed):
                self._queues.clear()
                self._note_learnt()
                for endpoint in self._changed:
                    endpoint.has_learnt = False
            for each in self._queues.values():
                each.mark_stale(self._changed)
            self._changed.clear()
        characters = prompt_characters(request)
        tokens = needed_tokens(request) if self._contexts[-1:] > [0] else 0
        too_short = bisect.bisect_left(self._contexts, tokens)
        refused = self._refused and self._refused & (
            marks_of(request, "images") | marks_of(request, "tools")
        )
        needs = bool(request.tools), bool(request.response_format), has_image(request)
        chosen = request.integration, request.pool, request.among
        kind = *chosen, needs, too_short, refused, size_class(characters)
        queue = self._queues.get(kind)
        if queue is None:
            queue = self._new_queue(request, characters, tokens)
            self._queues[kind] = queue
            if len(self._queues) > _MAX_QUEUES:
                del self._queues[next(iter(self._queues))]
        queue.refresh(now)
        return queue

    def _new_queue(self, request: ChatRequest, characters: int, tokens: float) -> _RequestQueue:
        places = {
            endpoint: place
            for place, endpoint in enumerate(self.endpoints)
            if not any(obstacles(endpoint, request))
        }
        reduced = {e for e in places if any(reductions(e, request, tokens))}
        policy = self._by_pool.get(request.pool or "", self._policy)
        context = RankContext(size_class(characters), self._target)
        return _RequestQueue(places, reduced, policy, context)

    def _fade_one(self, now: float) -> None:
        """Lets old measurements of one endpoint expire; the next plan takes the next endpoint.

        Time alone makes them too old, and no change announces it.
        """
        if self.endpoints:
            self.endpoints[self.turns % len(self.endpoints)].latency.fade(now)

    def _routing_context(self, request: ChatRequest, rank_context: RankContext) -> RoutingContext:
        self.turns += 1
        session = request.session_id
        last_connection = self._last_connections.get(session, "")
        return RoutingContext(
            rank_context, session, last_connection, self.turns, self._rng.random()
        )

    def __repr__(self) -> str:
        return "\n".join(repr(endpoint) for endpoint in self.endpoints) or "no connection"
