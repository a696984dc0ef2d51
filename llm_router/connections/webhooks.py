"""What is told to other programs, and how: events, signatures, and when to try again. No I/O.

Signed as "Standard Webhooks" has it (standardwebhooks.com), so that its libraries can verify.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from uuid import uuid4

from llm_router.connections.record import Connection

Event = Literal["connection.status_changed", "connection.deactivated", "connection.budget_reached"]
EVENTS: tuple[Event, ...] = get_args(Event)
TEST_EVENT = "webhook.test"
"""The event that is sent when somebody asks for a test."""

MAX_ATTEMPTS = 9
"""The last comes thirty hours after the first."""
_FIRST_WAIT, _FACTOR = 5.0, 4.0
_JITTER = 0.2
_SECRET_PREFIX = "whsec_"  # noqa: S105  what a secret begins with
_SECRET_BYTES = 32

Payload = Mapping[str, Any]


def new_secret() -> str:
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def make_payload(event: str, at: datetime, data: Mapping[str, Any]) -> Payload:
    """`id` stays the same however often it is sent, so that a receiver can tell."""
    time = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {"id": f"msg_{uuid4().hex}", "type": event, "timestamp": time, "data": dict(data)}


def event_data(connection: Connection, **more: Any) -> Mapping[str, Any]:
    """The data of an event: nothing secret, though the reason may name the host."""
    return {
        "connection_id": connection.id,
        "name": connection.name,
        "pool": connection.pool,
        "owner": connection.owner,
        "team": connection.team,
        "status": connection.status,
        "reason": connection.status_reason,
        **more,
    }


def sign(payload: Payload, secret: str, at: float) -> tuple[bytes, Mapping[str, str]]:
    """The body of the request, and its headers. `at`: now, in seconds since 1970."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    head = {"webhook-id": str(payload["id"]), "webhook-timestamp": str(int(at))}
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    what = b".".join([*(text.encode() for text in head.values()), body])
    signature = base64.b64encode(hmac.digest(key, what, hashlib.sha256)).decode()
    return body, {
        **head, "webhook-signature": f"v1,{signature}", "content-type": "application/json",
    }  # fmt: skip


def retry_delay(attempts: int, chance: float) -> float | None:
    """Seconds until the next try after so many; None: no more. `chance`: from 0 to 1."""
    if attempts >= MAX_ATTEMPTS:
        return None
    spread = 1 + _JITTER * (2 * chance - 1)
    return _FIRST_WAIT * _FACTOR ** (attempts - 1) * spread
