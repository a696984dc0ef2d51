"""Tests how messages are signed, and the delays between tries."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llm_router.connections.record import Connection
from llm_router.connections.webhooks import (
    MAX_ATTEMPTS,
    event_data,
    make_payload,
    new_secret,
    retry_delay,
    sign,
)

Verify = Callable[[str, Mapping[str, str], bytes], bool]
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def manuals_verify(now: Callable[[], float]) -> Verify:
    """Returns the `verify` of docs/api.md, with its own clock."""
    manual = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    (code,) = re.findall(r"```python\n(import base64.*?)```", manual, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    namespace["time"] = SimpleNamespace(time=now)
    verified: Verify = namespace["verify"]
    return verified


def test_a_signed_message_passes_the_check_in_the_manual() -> None:
    secret, at, verify = new_secret(), NOON.timestamp(), manuals_verify(NOON.timestamp)
    body, headers = sign(make_payload("x.y", NOON, {"name": "Hauptstraße"}), secret, at)
    assert verify(secret, headers, body)
    assert not verify(new_secret(), headers, body)
    assert not verify(secret, headers, body + b" ")
    for name in ("webhook-id", "webhook-timestamp"):
        assert not verify(secret, {**headers, name: headers[name] + "1"}, body)
    old = sign(json.loads(body), secret, at - 600)
    assert not verify(secret, old[1], old[0])


def test_the_signature_is_that_of_the_reference_implementation() -> None:
    """Compares with `standardwebhooks` 1.1.0 and the example secret of the specification."""
    said = {"id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "test": 2432232314}
    body, headers = sign(said, "whsec_MfKQ9r8GKYqUTwjUPD8ILPZIo2LaLaSw", 1614265330.9)
    assert body == b'{"id":"msg_p5jXN8AQM9LWM0D4loKWxJek","test":2432232314}'
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,aPgOP6Rlk79MEaSrdhCec6+hmDZ2a9LxzOymv2ssXDQ=",
        "content-type": "application/json",
    }


def test_each_secret_is_another_and_long_enough() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret) for secret in secrets)


def test_a_message_tells_no_secret() -> None:
    connection = Connection(
        name="desk",
        base_url="http://10.0.0.5:8000/v1",
        api_key="sk-0123456789",
        headers={"X-Token": "t-0123456789"},
        extra_body={"user": "u-0123456789"},
        status="error",
        status_reason="rejected key (HTTP 401): check api_key",
    )
    berlin = NOON.astimezone(timezone(timedelta(hours=2)))
    said = make_payload(
        "connection.status_changed", berlin, event_data(connection, previous_status="active")
    )
    assert said["timestamp"] == "2026-05-04T12:00:00Z"
    assert said["data"]["previous_status"] == "active"
    assert said["data"]["reason"] == connection.status_reason
    assert not re.search(r"0123456789|X-Token", json.dumps(said))


def test_waits_grow_fourfold_with_chance_in_them_and_end() -> None:
    waits = [retry_delay(attempts, 0.5) for attempts in range(1, MAX_ATTEMPTS)]
    assert waits[:4] == [5, 20, 80, 320]
    assert 24 < sum(filter(None, waits)) / 3600 < 36
    assert retry_delay(MAX_ATTEMPTS, 0.5) is None
    assert (retry_delay(1, 0.0), retry_delay(1, 1.0)) == (4, 6)
