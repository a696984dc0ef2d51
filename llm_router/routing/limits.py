"""The limits that a connection's user sets: requests and tokens a minute, cost a month.

Unlike an open breaker, a limit is the user's own decision, mostly about money: a connection at a
limit is not asked, even when no other is left.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol

from llm_router.connections.record import Connection

_logger = logging.getLogger("llm_router")

SLOT = 5.0
"""Length (s) of the periods counted together. A minute is any sixty seconds, up to a slot more."""
MINUTE = 60.0
_EPSILON = 0.001
"""Seconds added to the end of a period, so that a rounding error never falls before it."""


class Period(NamedTuple):
    """A stretch of wall time that is counted together; `begins` in seconds since 1970, UTC."""

    unit: Literal["slot", "month"]
    begins: float


class Amount(NamedTuple):
    """The requests, tokens and cost of one period."""

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
    """Shares counts between processes."""

    async def exchange(
        self, counted: Mapping[str, Counted], wanted: Iterable[str], at: float
    ) -> Mapping[str, Counted]:
        """Adds `counted` (by connection id), all of it or nothing; returns the totals of `wanted`.

        The totals are those of every process, in the month and in the last minute before `at` (s,
        wall time).

        Raises StoreError.
        """


class Reached(NamedTuple):
    """A limit that is reached. `until` (s, router's clock): not asked before then."""

    reason: str
    until: float


class Limits:
    """The limits of one connection, and how much of them is used.

    Times are on the router's clock; `zero` is the wall time (s since 1970) at its zero.

    Within one process a limit on requests is never exceeded: no sixty seconds see more of them
    start. The tokens and the cost of a reply are known at its end; its prompt counts at once.
    """

    def __init__(self, connection: Connection, zero: float = 0.0) -> None:
        self.connection = connection
        self._zero = zero
        self._total: dict[Period, Amount] = {}
        """Totals of every process, as of the latest exchange."""
        self._unshared: dict[Period, Amount] = {}
        """Counted here, and not part of any exchange yet."""
        self._in_exchange: dict[Period, Amount] = {}
        """Part of an exchange that is under way."""
        self._logged = Reached("", 0.0)
        """The limit logged last, and until when it is not logged again."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change."""

    def request_started(self, tokens: int, now: float) -> None:
        """Counts a request; `tokens`: estimate for its prompt."""
        self._count(Amount(1, tokens), now)

    def request_ended(self, tokens: int, cost: float, now: float) -> None:
        """Counts its end; `tokens`: beyond the estimate at its start, negative if fewer."""
        self._count(Amount(0, tokens, cost), now)

    @property
    def is_limited(self) -> bool:
        """True if its user has set any limit."""
        return self._has_rate_limit or self.connection.monthly_budget is not None

    @property
    def _has_rate_limit(self) -> bool:
        connection = self.connection
        return connection.rate_limit_rpm is not None or connection.rate_limit_tpm is not None

    def reached(self, now: float) -> Reached | None:
        """Returns the limit that holds the longest, or None if the connection may be asked."""
        if not self.is_limited:
            return None
        return max(self._all_reached(now), key=lambda reached: reached.until, default=None)

    # ── Between processes ────────────────────────────────────────────────────────────────────────

    def take(self) -> Counted:
        """Returns the counts to share. Call `confirmed` or `put_back` before taking again."""
        self._in_exchange = self._unshared
        self._unshared = {}
        return self._in_exchange

    def confirmed(self, total: Counted, zero: float, now: float) -> None:
        """Records that the exchange succeeded; `total` is the count of every process, this one's
        included.
        """
        self._zero = zero
        self._total = dict(total)
        self._in_exchange = {}
        self._changed(now)

    def put_back(self) -> None:
        """Records that the exchange failed, so that its counts are shared the next time.

        If it succeeded after all they count twice, which is better than an unwanted bill.
        """
        for period, amount in self._in_exchange.items():
            self._unshared[period] = self._unshared.get(period, Amount()).plus(amount)
        self._in_exchange = {}

    # ── Counting ─────────────────────────────────────────────────────────────────────────────────

    def _count(self, amount: Amount, now: float) -> None:
        wall = now + self._zero
        # The month in any case: a budget may be set in the middle of one.
        periods = [slot_of(wall), month_of(wall)] if self._has_rate_limit else [month_of(wall)]
        for period in periods:
            self._unshared[period] = self._unshared.get(period, Amount()).plus(amount)
        # Counts that are never shared must not grow without end.
        if len(self._unshared) > 2 * MINUTE / SLOT:
            self._unshared = {p: a for p, a in self._unshared.items() if counts(p, wall)}
        self._changed(now)

    def _changed(self, now: float) -> None:
        reached = self.reached(now)
        if reached and (self._logged.reason != reached.reason or self._logged.until <= now):
            _logger.warning(
                "connection %s is at %s: not asked for %.0f s",
                self.connection.name, reached.reason, reached.until - now,
            )  # fmt: skip
            self._logged = Reached(reached.reason, max(reached.until, now + MINUTE))
        self.on_change()

    def _all_reached(self, now: float) -> Iterator[Reached]:
        connection = self.connection
        wall = now + self._zero
        slots = self._used("slot", wall)
        for limit, field, unit in (
            (connection.rate_limit_rpm, 0, "requests a minute"),
            (connection.rate_limit_tpm, 1, "tokens a minute"),
        ):
            if limit is None:
                continue
            left = sum(amount[field] for _, amount in slots)
            if left >= limit:
                expiring = iter(slots)
                while left >= limit:
                    begins, amount = next(expiring)
                    left -= amount[field]
                yield Reached(f"its limit of {limit:,} {unit}", self._from_wall(_over_at(begins)))
        budget = connection.monthly_budget
        if budget is not None:
            spent = sum(amount.cost for _, amount in self._used("month", wall))
            if spent >= budget:
                until = self._from_wall(next_month(wall))
                yield Reached(f"its monthly budget of {budget:g}", until)

    def _from_wall(self, wall: float) -> float:
        return wall - self._zero + _EPSILON

    def _used(self, unit: str, wall: float) -> list[tuple[float, Amount]]:
        """Start and amount of each period that still counts, the oldest first."""
        return sorted(
            (period.begins, amount)
            for counted in (self._total, self._in_exchange, self._unshared)
            for period, amount in counted.items()
            if period.unit == unit and counts(period, wall)
        )


def slot_of(wall: float) -> Period:
    return Period("slot", wall // SLOT * SLOT)


def month_of(wall: float) -> Period:
    """Returns the calendar month, in UTC."""
    day = datetime.fromtimestamp(wall, UTC)
    return Period("month", datetime(day.year, day.month, 1, tzinfo=UTC).timestamp())


def next_month(wall: float) -> float:
    day = datetime.fromtimestamp(wall, UTC)
    year = day.year + day.month // 12
    month = day.month % 12 + 1
    return datetime(year, month, 1, tzinfo=UTC).timestamp()


def counts(period: Period, wall: float) -> bool:
    """Returns whether amounts of that period still count at the time `wall`."""
    if period.unit == "slot":
        return _over_at(period.begins) > wall
    return period.begins >= month_of(wall).begins


def _over_at(begins: float) -> float:
    return begins + SLOT + MINUTE
