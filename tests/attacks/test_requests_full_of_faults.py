"""Tests that a request with very many faults, or with one that is very long, costs no more than
another: its faults are noted on the loop that serves everyone.
"""

import json
from typing import Any

import pytest

from tests.attacks.heartbeat import heartbeat
from tests.contracts.gateway import Gateway, problem

MANY = 120_000
BODIES: dict[str, Any] = {
    "unknown fields": {f"k{i}": 1 for i in range(MANY)},
    "list of wrong values": {"name": "a", "tags": [1] * MANY},
    "object of wrong values": {"name": "a", "headers": {f"k{i}": 1 for i in range(MANY)}},
    "wrong values deep down": {"name": "a", "tags": [[[1]] * MANY]},
}


@pytest.mark.parametrize("path", ["session", "connections", "keys", "webhooks"])
@pytest.mark.parametrize("name", BODIES)
async def test_many_faults_are_answered_shortly_and_soon(
    gateway: Gateway, name: str, path: str
) -> None:
    content = json.dumps(BODIES[name])
    headers = {"Content-Type": "application/json"}
    async with heartbeat() as heart:
        answer = await gateway.call("admin", "POST", f"/{path}", content=content, headers=headers)
    problem(answer, 422, "invalid-request")
    assert len(answer.content) < 20_000
    assert heart.longest_gap < 0.2


async def test_a_long_name_of_a_field_is_shortened(gateway: Gateway) -> None:
    found = problem(await gateway.call("admin", "POST", "/keys", {"x" * 500_000: 1}), 422)
    assert len(str(found)) < 5_000


async def test_a_person_sees_the_first_faults_and_how_many_more(gateway: Gateway) -> None:
    body = {"name": "a", "tags": [1] * 30}
    found = problem(await gateway.call("editor", "POST", "/connections", body), 422)
    assert found["errors"][0]["field"] == "tags.0"
    assert len(found["errors"]) == 20
    assert found["detail"].endswith("and 10 more")
