"""Defines webhook events, their signatures and their retry schedule. No I/O.

The signature follows "Standard Webhooks" (standardwebhooks.com), so that its libraries can verify.
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

Event = Literal[
    "connection.status_changed",
    "connection.deactivated",
    "connection.budget_reached",
    "message.taken",
]
EVENTS: tuple[Event, ...] = get_args(Event)
TEST_EVENT = "webhook.test"
"""The event sent when a user tests a webhook."""

MAX_ATTEMPTS = 9
"""Attempts per delivery; the last is made thirty hours after the first."""
_FIRST_DELAY = 5.0  # s
_FACTOR = 4.0
_JITTER = 0.2
_SECRET_PREFIX = "whsec_"  # noqa: S105  a prefix, not a secret
_SECRET_BYTES = 32

Payload = Mapping[str, Any]


def new_secret() -> str:
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def make_payload(event: str, at: datetime, data: Mapping[str, Any]) -> Payload:
    """Makes the body of an event. Every retry has the same `id`, so that receivers can dedupe."""
    time = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {"id": f"msg_{uuid4().hex}", "type": event, "timestamp": time, "data": dict(data)}


def event_data(connection: Connection, **more: Any) -> Mapping[str, Any]:
    """Returns the data of a connection's event: no secrets, though the reason may name the host."""
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
    """Returns the body and headers of a signed request. `at`: now, in seconds since 1970."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    head = {"webhook-id": str(payload["id"]), "webhook-timestamp": str(int(at))}
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    signed = b".".join([*(text.encode() for text in head.values()), body])
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return body, {
        **head, "webhook-signature": f"v1,{signature}", "content-type": "application/json",
    }  # fmt: skip


def retry_delay(attempts: int, chance: float) -> float | None:
    """Returns the seconds until the next attempt, or None after the last one.

    `attempts`: attempts made so far. `chance`: a random number from 0 to 1, for the jitter.
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    spread = 1 + _JITTER * (2 * chance - 1)
    return _FIRST_DELAY * _FACTOR ** (attempts - 1) * spread
