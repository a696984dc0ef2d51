"""Derives a connection's status from its health checks. No I/O.

A status changes only after several checks in a row agree, so that one lost packet changes nothing
(the soft and hard states of Nagios). Only checks made since the last edit count: editing or
activating a connection starts a new history.
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
_INTEGRATION_FLAGS = ("use_in_livekit", "use_in_mcp", "use_in_automation")
_INVISIBLE_TO_PROBES = frozenset(
    {
        FailureClass.OUT_OF_CREDIT, FailureClass.MODEL_MISSING, FailureClass.WRONG_ADDRESS,
        FailureClass.TOO_LONG, FailureClass.BAD_REQUEST, FailureClass.REFUSED_CONTENT,
        FailureClass.SILENT,
        FailureClass.STALLED, FailureClass.DRIPPING, FailureClass.EMPTY,
    }
)  # fmt: skip
"""Failures that only a real reply can disprove: a server may list its models and yet not answer."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The checks of a connection since its last edit, without those that were NOT_ASKED.

    `recent`: the latest checks, newest first. `answered`: the latest check that was not a probe.
    `broken_since`: time of the first check after the latest outcome in `ALIVE_OUTCOMES`.
    """

    recent: Sequence[Check] = ()
    answered: Check | None = None
    broken_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status, its reason, and whether the fault is lasting.

    `is_lasting`: the connection has failed for so long that it may be deactivated, provided that
    another one replaces it.
    """

    status: Status
    reason: str = ""
    is_lasting: bool = False


def assess(connection: Connection, evidence: Evidence, options: HealthOptions) -> Verdict:
    """Returns the status that follows from the checks; an inactive connection keeps its own."""
    current = Verdict(connection.status, connection.status_reason)
    if not connection.is_active or not evidence.recent:
        return current
    status = _status(connection.status, evidence, options)
    latest = evidence.recent[0]
    if status == "active":
        return Verdict(status)
    if status != connection.status or _is_another_fault(current, evidence, options):
        current = Verdict(status, latest.detail or latest.outcome)
    return replace(current, is_lasting=status == "error" and _is_lasting(evidence, options))


def deactivate_if_replaceable(
    connection: Connection, verdict: Verdict, others: Iterable[Connection]
) -> Verdict:
    """Returns a verdict of "deactivated" if every integration of the connection has a replacement.

    A replacement is known to work and serves the same requests, in the same pool and for the same
    actors. So the last working connection is never deactivated, and none is when our own network is
    down. Otherwise returns `verdict`.
    """
    replacements = [other for other in others if _can_replace(other, connection)]
    served = [flag for flag in _INTEGRATION_FLAGS if getattr(connection, flag)]
    if all(any(getattr(other, flag) for other in replacements) for flag in served):
        return Verdict("deactivated", f"broken for too long: {verdict.reason}")
    return verdict


def delay_until_next_check(status: Status, latest: Check | None, options: HealthOptions) -> float:
    """Returns the seconds from the start of the latest check to the next; fewer while in doubt."""
    if latest is None:
        return 0.0
    contradicts = (latest.outcome == OK) != (status == "active")
    is_in_doubt = latest.outcome != NOT_ASKED and (status in _NEW or contradicts)
    return options.interval * (options.doubt if is_in_doubt else 1.0)


def _status(status: Status, evidence: Evidence, options: HealthOptions) -> Status:
    latest = evidence.recent[0]
    if latest.outcome == OK:
        in_a_row = sum(1 for _ in takewhile(lambda check: check.outcome == OK, evidence.recent))
        is_enough = in_a_row >= (1 if status in _NEW else options.rise) and not _is_hidden(evidence)
        return "active" if is_enough or latest.kind == "test" else status
    # A person who asked for a test has seen its result, so one is enough.
    needed = 1 if latest.kind == "test" else options.fall
    last = evidence.recent[:needed]
    if len(last) < needed or any(check.outcome == OK for check in last):
        return "testing" if status == "untested" else status
    resting = {check.outcome == FailureClass.RATE_LIMITED for check in last}
    if resting == {True}:
        return "resting"
    return "error" if resting == {False} or status not in _BROKEN else status


def _is_hidden(evidence: Evidence) -> bool:
    """Returns whether the latest real reply failed in a way that a probe cannot see."""
    last = evidence.answered
    return last is not None and last.outcome in _INVISIBLE_TO_PROBES


def _is_another_fault(current: Verdict, evidence: Evidence, options: HealthOptions) -> bool:
    """Returns whether a broken connection now fails for another reason.

    It takes as many checks in a row as a change of status, so that the reason does not flap.
    """
    last = [check.outcome for check in evidence.recent[: options.fall]]
    is_one = len(last) == options.fall and len({*last}) == 1 and last[0] != OK
    return is_one and current.status in _BROKEN and not current.reason.startswith(last[0])


def _is_lasting(evidence: Evidence, options: HealthOptions) -> bool:
    if options.deactivate_after is None or evidence.broken_since is None:
        return False
    return evidence.recent[0].at - evidence.broken_since >= options.deactivate_after


def _can_replace(other: Connection, connection: Connection) -> bool:
    if other.id == connection.id or not other.is_active or other.status != "active":
        return False
    audience = connection.owner, connection.team, connection.visibility
    is_visible = other.visibility == "everyone" or audience == (
        other.owner, other.team, other.visibility,
    )  # fmt: skip
    is_alike = (other.pool, other.serves) == (connection.pool, connection.serves)
    return is_visible and is_alike
