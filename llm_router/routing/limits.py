"""How much of its own limits a connection has used: requests and tokens a minute, money a month.

Unlike a breaker's rest this is the user's own word, mostly about money: one that is at a limit is
not asked, even when nobody else is left.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol

from llm_router.connections.record import Connection

_logger = logging.getLogger("llm_router")

SLOT = 5.0
"""Seconds that are counted together. A minute is any sixty seconds, and up to a slot more."""
MINUTE = 60.0
_HAIR = 0.001
"""Past the end of a period rather than a rounding error before it."""


class Period(NamedTuple):
    """A stretch of wall time that is counted together; `begins` in seconds since 1970, UTC."""

    unit: Literal["slot", "month"]
    begins: float


class Amount(NamedTuple):
    requests: int = 0
    tokens: int = 0
    cost: float = 0.0
    """In the currency of the connection's prices."""

    def plus(self, other: "Amount") -> "Amount":
        return Amount(
            self.requests + other.requests, self.tokens + other.tokens, self.cost + other.cost
        )


Counted = Mapping[Period, Amount]


class Counters(Protocol):
    """Where processes tell each other what they have counted."""

    async def exchange(
        self, counted: Mapping[str, Counted], wanted: Iterable[str], at: float
    ) -> Mapping[str, Counted]:
        """Add what was counted, by the connection's id, all of it or nothing; then what everybody
        has counted of the `wanted`, in the month and in the last minute before `at` (wall time).

        Raises StoreError.
        """


class Reached(NamedTuple):
    """A limit that is reached. `until`, on the router's clock: not asked before then."""

    reason: str
    until: float


class Limits:
    """What one connection may still be asked. Times are on the router's clock; `zero` is what the
    wall clock shows at its zero.

    In one process no limit on requests is ever passed: in no sixty seconds are more started. How
    many tokens a reply takes, and what it costs, is known at its end; the prompt counts at once.
    """

    def __init__(self, connection: Connection, zero: float = 0.0) -> None:
        self.connection, self._zero = connection, zero
        self._known: dict[Period, Amount] = {}
        """What everybody has told, this process too."""
        self._mine: dict[Period, Amount] = {}
        """What nobody else has been told."""
        self._in_doubt: dict[Period, Amount] = {}
        """What is being told at the moment."""
        self._noticed = ("", 0.0)
        self.told: Callable[[], None] = lambda: None
        """Called after each change."""

    def asked(self, tokens: int, now: float) -> None:
        """A request starts; `tokens`: about what its prompt has."""
        self._count(Amount(1, tokens), now)

    def answered(self, tokens: int, cost: float, now: float) -> None:
        """It has ended; `tokens`: beyond those that were counted when it started, or fewer."""
        self._count(Amount(0, tokens, cost), now)

    @property
    def is_limited(self) -> bool:
        return self._is_rated or self.connection.monthly_budget is not None

    @property
    def _is_rated(self) -> bool:
        connection = self.connection
        return connection.rate_limit_rpm is not None or connection.rate_limit_tpm is not None

    def reached(self, now: float) -> Reached | None:
        """The limit that holds the longest; None: it may be asked."""
        if not self.is_limited:
            return None
        return max(self._all_reached(now), key=lambda reached: reached.until, default=None)

    # ── Between processes ────────────────────────────────────────────────────────────────────────

    def take(self) -> Counted:
        """What is to be told. `confirmed` or `put_back` follows before it is called again."""
        self._in_doubt, self._mine = self._mine, {}
        return self._in_doubt

    def confirmed(self, known: Counted, zero: float, now: float) -> None:
        """It was told, and `known` is what everybody has counted, this process too."""
        self._zero, self._known, self._in_doubt = zero, dict(known), {}
        self._changed(now)

    def put_back(self) -> None:
        """Telling failed. Should it have been heard after all it counts twice: rather that than a
        bill that nobody wanted.
        """
        for period, amount in self._in_doubt.items():
            self._mine[period] = self._mine.get(period, Amount()).plus(amount)
        self._in_doubt = {}

    # ── Counting ─────────────────────────────────────────────────────────────────────────────────

    def _count(self, amount: Amount, now: float) -> None:
        wall = now + self._zero
        # The month in any case: a budget may be set in the middle of one.
        for period in (slot_of(wall), month_of(wall)) if self._is_rated else (month_of(wall),):
            self._mine[period] = self._mine.get(period, Amount()).plus(amount)
        # What is told to nobody must not grow without end.
        if len(self._mine) > 2 * MINUTE / SLOT:
            self._mine = {p: a for p, a in self._mine.items() if counts(p, wall)}
        self._changed(now)

    def _changed(self, now: float) -> None:
        reached = self.reached(now)
        if reached and (self._noticed[0] != reached.reason or self._noticed[1] <= now):
            _logger.warning(
                "connection %s is at %s: not asked for %.0f s",
                self.connection.name, reached.reason, reached.until - now,
            )  # fmt: skip
            self._noticed = (reached.reason, max(reached.until, now + MINUTE))
        self.told()

    def _all_reached(self, now: float) -> Iterator[Reached]:
        c, wall = self.connection, now + self._zero
        slots = self._used("slot", wall)
        for limit, field, what in (
            (c.rate_limit_rpm, 0, "requests a minute"),
            (c.rate_limit_tpm, 1, "tokens a minute"),
        ):
            if limit is None:
                continue
            left = sum(amount[field] for _, amount in slots)
            if left >= limit:
                frees = iter(slots)
                while left >= limit:
                    begins, amount = next(frees)
                    left -= amount[field]
                yield Reached(f"its limit of {limit:,} {what}", self._from_wall(_over_at(begins)))
        if c.monthly_budget is not None:
            spent = sum(amount.cost for _, amount in self._used("month", wall))
            if spent >= c.monthly_budget:
                until = self._from_wall(next_month(wall))
                yield Reached(f"its monthly budget of {c.monthly_budget:g}", until)

    def _from_wall(self, wall: float) -> float:
        return wall - self._zero + _HAIR

    def _used(self, unit: str, wall: float) -> list[tuple[float, Amount]]:
        """By the beginning of each period that still counts, the oldest first."""
        return sorted(
            (period.begins, amount)
            for counted in (self._known, self._in_doubt, self._mine)
            for period, amount in counted.items()
            if period.unit == unit and counts(period, wall)
        )


def slot_of(wall: float) -> Period:
    return Period("slot", wall // SLOT * SLOT)


def month_of(wall: float) -> Period:
    """By the calendar, in UTC."""
    day = datetime.fromtimestamp(wall, UTC)
    return Period("month", datetime(day.year, day.month, 1, tzinfo=UTC).timestamp())


def next_month(wall: float) -> float:
    day = datetime.fromtimestamp(wall, UTC)
    year, month = day.year + day.month // 12, day.month % 12 + 1
    return datetime(year, month, 1, tzinfo=UTC).timestamp()


def counts(period: Period, wall: float) -> bool:
    """Whether what was used then still matters."""
    if period.unit == "slot":
        return _over_at(period.begins) > wall
    return period.begins >= month_of(wall).begins


def _over_at(begins: float) -> float:
    return begins + SLOT + MINUTE
