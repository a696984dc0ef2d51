"""Reads answers of EC2. No I/O.

Status codes of spot requests: "Spot Instance request status" in the EC2 User Guide.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm_router.connections.rules import to_one_line
from llm_router.fleet.cloud import Instance, Notice, NoticeKind, State

FLEET_TAG, LAUNCH_TAG, TEMPLATE_TAG = "patchbay:fleet", "patchbay:launch", "patchbay:template"
NOTICE_TAG = "patchbay:notice"
"""Tags of instances; the last one is set by `llm-router fleet watch` on the instance itself."""

_MARKED = frozenset({"marked-for-termination", "marked-for-stop"})
_NOTICE = 120.0
"""Seconds from the mark to the end of the instance."""
_LONGEST_TIME = 10
"""Digits of a time (s since 1970) in a tag, which anything with the right to tag may have set."""
_STATES: Mapping[str, State] = {"pending": "pending", "running": "running"}
_NOTICES: Mapping[str, NoticeKind] = {"rebalance": "rebalance", "interruption": "interruption"}


@dataclass(frozen=True, slots=True)
class SpotRequest:
    """Status of a spot request, and its time (s since 1970) if known."""

    code: str
    message: str
    at: float | None


def read_request(answer: Mapping[str, Any]) -> tuple[str, SpotRequest]:
    """Returns the id and the status of a spot request."""
    status = answer.get("Status", {})
    request = SpotRequest(
        code=str(status.get("Code", "")),
        message=str(status.get("Message", "")),
        at=_seconds(status.get("UpdateTime")),
    )
    return answer["SpotInstanceRequestId"], request


def read_instance(
    answer: Mapping[str, Any],
    request: SpotRequest | None,
    prices: Mapping[tuple[str, str], float],
) -> Instance:
    """Returns the instance that DescribeInstances shows."""
    tags = {tag["Key"]: tag["Value"] for tag in answer.get("Tags", ())}
    zone = answer.get("Placement", {}).get("AvailabilityZone", "")
    kind = answer.get("InstanceType", "")
    state: State = _STATES.get(answer["State"]["Name"], "gone")
    launch = tags.get(LAUNCH_TAG, "")
    return Instance(
        id=answer["InstanceId"],
        launch=int(launch) if launch.isdecimal() else 0,
        template=tags.get(TEMPLATE_TAG, ""),
        state=state,
        launched_at=_seconds(answer.get("LaunchTime")) or 0.0,
        address=answer.get("PrivateIpAddress", ""),
        public_address=answer.get("PublicIpAddress", ""),
        instance_type=kind,
        zone=zone,
        price=prices.get((kind, zone)),
        notice=_notice(tags.get(NOTICE_TAG, ""), request),
        gone_reason=_gone_reason(answer, request) if state == "gone" else "",
    )


def latest_prices(history: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """Returns the latest spot price an hour by instance type and zone; the newest come first."""
    prices: dict[tuple[str, str], float] = {}
    for entry in history:
        key = entry["InstanceType"], entry["AvailabilityZone"]
        prices.setdefault(key, float(entry["SpotPrice"]))
    return prices


def write_notice(notice: Notice) -> str:
    """Returns the value of the tag that stands for a notice."""
    return notice.kind if notice.until is None else f"{notice.kind} {notice.until:.0f}"


def _notice(tag: str, request: SpotRequest | None) -> Notice | None:
    if request and request.code in _MARKED:
        return Notice("interruption", request.at and request.at + _NOTICE)
    word, _, until = tag.partition(" ")
    kind = _NOTICES.get(word)
    is_time = until.isdecimal() and len(until) <= _LONGEST_TIME
    return Notice(kind, float(until) if is_time else None) if kind else None


def _gone_reason(answer: Mapping[str, Any], request: SpotRequest | None) -> str:
    reasons = [
        answer.get("StateReason", {}).get("Message", ""),
        answer.get("StateTransitionReason", ""),
        request.message if request and request.code.startswith("instance-terminated") else "",
    ]
    return to_one_line("; ".join(filter(None, reasons)) or "its instance is gone", 300)


def _seconds(time: Any) -> float | None:
    return time.timestamp() if isinstance(time, datetime) else None
