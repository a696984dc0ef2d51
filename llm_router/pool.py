"""Which endpoints may be asked, and in what order."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from llm_router.endpoint import Endpoint
from llm_router.failures import Failure
from llm_router.latency import size_class
from llm_router.policies.base import Candidate, Policy, Turn
from llm_router.types import ChatRequest

_logger = logging.getLogger("llm_router")

_CHARACTERS_PER_TOKEN = 3.0
"""On the safe side for English; a prompt is taken to be a little longer than it is."""
_SESSIONS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked for one reply. `ready`: best first. `trials`: rested endpoints that one live
    request beside another's may bring back. `reasons`: why the rest may not be asked.
    """

    ready: list[Endpoint]
    trials: list[Endpoint]
    reasons: list[tuple[str, str]]


def prompt_characters(request: ChatRequest) -> int:
    return sum(len(_text(message.get("content"))) for message in request.messages)


class Pool:
    """The live endpoints, and which session was answered by whom."""

    def __init__(self, endpoints: Sequence[Endpoint], policy: Policy, target: float) -> None:
        self.endpoints = list(endpoints)
        self._policy, self._target = policy, target
        self._last: dict[str, str] = {}
        self._turns = 0

    def plan(self, request: ChatRequest, now: float) -> Plan:
        characters = prompt_characters(request)
        fit: list[Endpoint] = []
        reasons: list[tuple[str, str]] = []
        for endpoint in self.endpoints:
            if reason := _unfit(endpoint, request, characters):
                reasons.append((endpoint.name, reason))
            else:
                fit.append(endpoint)
        closed = [e for e in fit if e.breaker.state(now) == "closed"]
        ready = self._ordered(closed, request, size_class(characters))
        resting = [e for e in fit if e not in closed]
        trials = [e for e in resting if e.breaker.state(now) == "half-open"]
        if not any(not e.provider.last_resort for e in ready):
            # Nobody well is left: those that rest are asked all the same, rather than giving up.
            resting.sort(key=lambda e: e.breaker.opens_again_at())
            ready = [e for e in resting if not e.provider.last_resort] + ready
            trials = []
        reasons += [
            (e.name, f"resting: {e.breaker.reason}") for e in resting if e not in ready + trials
        ]
        return Plan(ready, trials, reasons)

    def answered(self, session_id: str, endpoint: Endpoint) -> None:
        """The session stays there, as far as the policy heeds it."""
        if not session_id:
            return
        self._last.pop(session_id, None)
        self._last[session_id] = endpoint.name
        if len(self._last) > _SESSIONS_KEPT:
            del self._last[next(iter(self._last))]

    def named(self, name: str) -> Endpoint:
        return next(endpoint for endpoint in self.endpoints if endpoint.name == name)

    def saturation(self, now: float) -> float:
        """How little room the models have for another call, from 0 (idle) to 1 (none may be asked).

        0.5: the best of them is predicted to need all of the wanted time to its first clause.
        """
        models = [e for e in self.endpoints if not e.provider.last_resort]
        loads = [1.0 if e.breaker.state(now) == "open" else self._load(e) for e in models]
        return min(loads, default=0.0)

    def _load(self, endpoint: Endpoint) -> float:
        return min(1.0, (endpoint.predicted(0) or 0.0) / (2 * self._target))

    def _ordered(
        self, endpoints: list[Endpoint], request: ChatRequest, size: int
    ) -> list[Endpoint]:
        self._turns += 1
        turn = Turn(
            session_id=request.session_id,
            last=self._last.get(request.session_id, ""),
            target=self._target,
            number=self._turns,
        )
        candidates = {
            e.name: Candidate(e.connection, e.predicted(size), e.in_flight) for e in endpoints
        }
        by_name = {e.name: e for e in endpoints}
        ordered = [
            by_name[c.connection.name] for c in self._policy.order([*candidates.values()], turn)
        ]
        # Stable: the policy's order within each kind; the careful ones after those free to hedge.
        return sorted(
            ordered, key=lambda e: (e.provider.last_resort, e.connection.hedge == "never")
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


def _unfit(endpoint: Endpoint, request: ChatRequest, characters: int) -> str:
    connection = endpoint.connection
    if not connection.is_active:
        return "not active"
    if request.integration and not getattr(connection, f"use_in_{request.integration}"):
        return f"not flagged for {request.integration}"
    if request.pool is not None and connection.pool != request.pool:
        return f"not in pool {request.pool!r}"
    able = connection.capabilities
    if request.tools and not able.tools:
        return "does not support tools"
    if request.response_format and not able.json:
        return "does not support JSON output"
    if not able.images and _has_image(request):
        return "does not support images"
    if able.context_length and characters / _CHARACTERS_PER_TOKEN > able.context_length:
        return f"the prompt is longer than its {able.context_length} tokens"
    return ""


def _has_image(request: ChatRequest) -> bool:
    return any(
        part.get("type") == "image_url"
        for message in request.messages
        if isinstance(content := message.get("content"), list)
        for part in content
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return ""
