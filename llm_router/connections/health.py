"""How a connection is: what its checks say of it, and what follows. Plain decisions, no I/O.

A status changes on several checks in a row, so that one lost packet changes nothing (the soft and
hard states of Nagios). What counts is what came since the connection was last edited: whoever
mends it, or switches it on, starts it afresh.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile

from llm_router.connections.record import Connection, Status
from llm_router.connections.store import NOT_ASKED, OK, Check
from llm_router.failures import FailureClass
from llm_router.options import HealthOptions

ALIVE_OUTCOMES = (OK, FailureClass.RATE_LIMITED.value)
_BROKEN: frozenset[Status] = frozenset({"error", "resting"})
_NEW: frozenset[Status] = frozenset({"untested", "testing"})
_SERVES = ("use_in_livekit", "use_in_mcp", "use_in_automation")
_UNSEEN_BY_A_PROBE = frozenset(
    {
        FailureClass.OUT_OF_CREDIT, FailureClass.MODEL_MISSING, FailureClass.TOO_LONG,
        FailureClass.BAD_REQUEST, FailureClass.REFUSED_CONTENT, FailureClass.SILENT,
        FailureClass.STALLED, FailureClass.DRIPPING, FailureClass.EMPTY,
    }
)  # fmt: skip
"""A server may list its models and yet not answer: only an answer shows that this is over."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The checks of a connection since it was last edited, but for those that were NOT_ASKED.

    `recent`: the last ones, the newest first. `answered`: the last that was no probe.
    `broken_since`: when the first was of those since which none has found it ALIVE.
    """

    recent: Sequence[Check] = ()
    answered: Check | None = None
    broken_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`is_lasting`: it has been broken for so long that it may be deactivated, if it is a spare."""

    status: Status
    reason: str = ""
    is_lasting: bool = False


def assess(connection: Connection, evidence: Evidence, options: HealthOptions) -> Verdict:
    """What its checks make of it. One that is switched off stays as it is."""
    as_is = Verdict(connection.status, connection.status_reason)
    if not connection.is_active or not evidence.recent:
        return as_is
    status, latest = _status(connection.status, evidence, options), evidence.recent[0]
    if status == "active":
        return Verdict(status)
    if status != connection.status or _is_another_fault(as_is, evidence, options):
        as_is = Verdict(status, latest.detail or latest.outcome)
    return replace(as_is, is_lasting=status == "error" and _is_lasting(evidence, options))


def deactivate_if_replaceable(
    connection: Connection, verdict: Verdict, others: Iterable[Connection]
) -> Verdict:
    """The same, deactivated if each integration it serves keeps one that is known to work, in its
    pool and for all who see it: never the last one standing, nor all of them when it is our own
    network that is down.
    """
    standing = [other for other in others if _stands_in_for(other, connection)]
    served = [flag for flag in _SERVES if getattr(connection, flag)]
    if all(any(getattr(other, flag) for other in standing) for flag in served):
        return Verdict("deactivated", f"broken for too long: {verdict.reason}")
    return verdict


def delay_until_next_check(status: Status, latest: Check | None, options: HealthOptions) -> float:
    """Seconds from the beginning of the latest check to the next: fewer while in doubt."""
    if latest is None:
        return 0.0
    contradicts = (latest.outcome == OK) != (status == "active")
    is_in_doubt = latest.outcome != NOT_ASKED and (status in _NEW or contradicts)
    return options.interval * (options.doubt if is_in_doubt else 1.0)


def _status(status: Status, evidence: Evidence, options: HealthOptions) -> Status:
    latest = evidence.recent[0]
    if latest.outcome == OK:
        well = sum(1 for _ in takewhile(lambda check: check.outcome == OK, evidence.recent))
        is_enough = well >= (1 if status in _NEW else options.rise) and not _is_hidden(evidence)
        return "active" if is_enough or latest.kind == "test" else status
    # Whoever asked for a test has seen what came of it: that is enough.
    needed = 1 if latest.kind == "test" else options.fall
    last = evidence.recent[:needed]
    if len(last) < needed or any(check.outcome == OK for check in last):
        return "testing" if status == "untested" else status
    resting = {check.outcome == FailureClass.RATE_LIMITED for check in last}
    if resting == {True}:
        return "resting"
    return "error" if resting == {False} or status not in _BROKEN else status


def _is_hidden(evidence: Evidence) -> bool:
    """Whether what is wrong is nothing that a probe, which went well, could have seen."""
    last = evidence.answered
    return last is not None and last.outcome in _UNSEEN_BY_A_PROBE


def _is_another_fault(as_is: Verdict, evidence: Evidence, options: HealthOptions) -> bool:
    """As often in a row as a status takes, so that the reason does not go back and forth either."""
    last = [check.outcome for check in evidence.recent[: options.fall]]
    is_one = len(last) == options.fall and len({*last}) == 1 and last[0] != OK
    return is_one and as_is.status in _BROKEN and not as_is.reason.startswith(last[0])


def _is_lasting(evidence: Evidence, options: HealthOptions) -> bool:
    if options.deactivate_after is None or evidence.broken_since is None:
        return False
    return evidence.recent[0].at - evidence.broken_since >= options.deactivate_after


def _stands_in_for(other: Connection, connection: Connection) -> bool:
    if other.id == connection.id or not other.is_active or other.status != "active":
        return False
    whose = connection.owner, connection.team, connection.visibility
    is_seen = other.visibility == "everyone" or whose == (
        other.owner, other.team, other.visibility,
    )  # fmt: skip
    return is_seen and other.pool == connection.pool
