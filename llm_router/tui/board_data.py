"""Reads what the board shows: the endpoints, their breakers and first words, and the calls.

The figures are those of the console: `/api/connections`, `/api/analytics`, `/api/calls`. Breakers
and streams in flight are those of the HTTP process, from `/metrics`.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from llm_router.api_client import ApiClient
from llm_router.clock import Clock, utc_now
from llm_router.errors import ForbiddenError, RouterError

POINTS = 120
"""Reads whose first words are drawn."""
_MOST_ENDPOINTS = 200
_MOST_CALLS = 50
_GOING_ON = ("agent", "handed_over", "text")
"""States of calls that have not ended."""
_HALF_OPEN = 0.5
Samples = Mapping[str, Mapping[str, float]]
"""Values of the series that are needed: by their name, then by their connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """A connection. `breaker` and `in_flight` are None where the HTTP process has not used it.

    `p50` and `p95`: seconds to the first word since the full hour; None: no reply.
    """

    name: str
    model: str
    status: str
    is_active: bool
    breaker: str | None = None
    in_flight: int | None = None
    replies: int = 0
    failed: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call that goes on. `seconds`: since its begin."""

    id: str
    kind: str
    state: str
    assistant: str
    seconds: int
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The state of the router at one time. `calls` is None for a key that may not see them.

    `problem` says why nothing is known; the rest is empty then. `first_words` are the mean seconds
    to a first word between two reads, the last one latest; 0 where there was no reply.
    """

    endpoints: Sequence[EndpointRow] = ()
    calls: Sequence[CallRow] | None = None
    more_calls: int = 0
    first_words: Sequence[float] = ()
    replies: int = 0
    failovers: int = 0
    resumes: int = 0
    silence_avoided: float = 0.0
    problem: str = ""


class BoardReader:
    """Reads the board again and again; it remembers the first words of its last reads."""

    def __init__(self, api: ApiClient, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._first_words: deque[float] = deque([0.0] * POINTS, maxlen=POINTS)
        self._refused: set[str] = set()
        """Parts that the key may not see."""
        self._before: tuple[float, float] | None = None
        """Sum and number of the first words of the last read."""

    async def read(self) -> Board:
        """Reads the board. A part that the key may not see is missing; nothing is raised."""
        try:
            return await self._read(utc_now(self._clock))
        except RouterError as error:
            return Board(problem=str(error))
        except (KeyError, TypeError, ValueError):
            return Board(problem="the server is of another version; update it, or llm-router")

    async def _read(self, now: datetime) -> Board:
        since = {"since": (now - timedelta(minutes=59)).isoformat()}
        newest = {"limit": _MOST_CALLS}
        found, figures, metrics, *calls = await asyncio.gather(
            self._api.request("GET", "/connections", params={"limit": _MOST_ENDPOINTS}),
            self._optional("/analytics/connections", since),
            self._metrics(),
            *(self._optional("/calls", {**newest, "state": state}) for state in _GOING_ON),
        )
        self._note_first_words(metrics)
        groups = figures["items"] if figures else ()
        used = {group["connection_id"]: group["figures"] for group in groups}
        pages = [page for page in calls if page]
        return Board(
            endpoints=[
                _endpoint(item, used.get(item["id"], {}), metrics) for item in found["items"]
            ],
            calls=[_call(call, now) for page in pages for call in page["items"]] if pages else None,
            more_calls=sum(page["total"] - len(page["items"]) for page in pages),
            first_words=[*self._first_words],
            replies=sum(each["requests"] for each in used.values()),
            failovers=sum(each["failovers"] for each in used.values()),
            resumes=sum(each["resumes"] for each in used.values()),
            silence_avoided=sum(each["silence_avoided"] for each in used.values()),
        )

    async def _optional(self, path: str, params: Mapping[str, Any]) -> Any:
        """Returns a part of the board; None if the key may not see it, which is asked once."""
        if path in self._refused:
            return None
        try:
            return await self._api.request("GET", path, params=params)
        except ForbiddenError:
            self._refused.add(path)
            return None

    async def _metrics(self) -> Samples:
        try:
            text = await self._api.read_metrics()
            return await asyncio.to_thread(read_samples, text)
        except (RouterError, ValueError):  # ValueError: no text of Prometheus's
            return {}

    def _note_first_words(self, metrics: Samples) -> None:
        total = sum(metrics.get("router_first_word_seconds_sum", {}).values())
        number = sum(metrics.get("router_first_word_seconds_count", {}).values())
        before, self._before = self._before, (total, number)
        if before is None:
            return
        replies = number - before[1]
        self._first_words.append((total - before[0]) / replies if replies > 0 else 0.0)


def read_samples(text: str) -> Samples:
    """Returns the router's series of a page of `/metrics`. Raises ValueError for another text."""
    samples: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("router_"):
            for sample in family.samples:
                if "le" not in sample.labels and (name := sample.labels.get("connection")):
                    samples.setdefault(sample.name, {})[name] = sample.value
    return samples


def _endpoint(item: Mapping[str, Any], figures: Mapping[str, Any], metrics: Samples) -> EndpointRow:
    name = item["name"]
    in_flight = metrics.get("router_in_flight", {}).get(name)
    first_word = figures.get("ttft", {})
    return EndpointRow(
        name=name,
        model=item["model_name"],
        status=item["status"],
        is_active=item["is_active"],
        breaker=_breaker(metrics.get("router_breaker_open", {}).get(name)),
        in_flight=None if in_flight is None else int(in_flight),
        replies=figures.get("requests", 0),
        failed=figures.get("failed", 0),
        p50=first_word.get("p50"),
        p95=first_word.get("p95"),
    )


def _breaker(value: float | None) -> str | None:
    if value is None:
        return None
    if value == _HALF_OPEN:
        return "half-open"
    return "open" if value else "closed"


def _call(call: Mapping[str, Any], now: datetime) -> CallRow:
    begun = datetime.fromisoformat(call["started_at"])
    return CallRow(
        id=call["id"],
        kind=call["kind"],
        state=call["state"],
        assistant=call["assistant"],
        seconds=max(0, int((now - begun).total_seconds())),
        items=call["items"],
    )
