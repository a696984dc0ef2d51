"""A key that a person puts where it would be shown: into the address, the body, a header's name."""

from typing import Any

import pytest

from tests.contracts.gateway import PUBLIC, Gateway, problem

KEY = "sk-a1b2c3d4e5f6g7h8"
MISPLACED: list[dict[str, Any]] = [
    *({"base_url": f"{PUBLIC}?a=1&{name}={KEY}"} for name in ("sig", "code", "Client-Secret")),
    {"base_url": f"{PUBLIC}?X-Amz-Signature={KEY}"},
    {"base_url": f"{PUBLIC}#key={KEY}"},
    {"base_url": f"{PUBLIC};password={KEY}"},
    {"extra_body": {"api_key": KEY}},
    {"extra_body": {"provider": [{"openai-api-key": KEY}]}},
    {"extra_body": {"headers": {"Authorization": f"Bearer {KEY}"}}},
    {"headers": {f"Bearer {KEY}": ""}},
    {"headers": {f"Authorization: {KEY}": ""}},
]
HONEST: list[dict[str, Any]] = [
    {"base_url": f"{PUBLIC}?api-version=2024-10-21&keyboard=1"},
    {"extra_body": {"stop_token": "<|end_of_text|>", "prompt_cache_key": "the-front-desk"}},
    {"extra_body": {"logit_bias": {"token": 5}, "token": "none"}},
    {"headers": {"X-Team_1": "desk", "Authorization": f"Bearer {KEY}"}},
]


@pytest.mark.parametrize("fields", MISPLACED, ids=str)
async def test_a_key_in_the_wrong_field_is_refused_and_not_repeated(
    gateway: Gateway, fields: dict[str, Any]
) -> None:
    new = {"name": "a", "base_url": PUBLIC, **fields}
    made = await gateway.connection()
    for method, path, body in (
        ("POST", "/connections", new),
        ("PATCH", f"/connections/{made['id']}", fields),
        ("POST", "/connections/import", [new]),
    ):
        answer = await gateway.call("editor", method, path, body)
        assert KEY not in str(problem(answer, 422))
    for path in ("/connections", "/audit"):
        assert KEY not in (await gateway.call("admin", "GET", path)).text


@pytest.mark.parametrize("fields", HONEST, ids=str)
async def test_what_only_resembles_a_key_is_stored(
    gateway: Gateway, fields: dict[str, Any]
) -> None:
    await gateway.connection(**fields)


@pytest.mark.parametrize("name", ["", "X Y", "X:Y", "Ä", "Content-Length", "connection"])
async def test_a_header_that_no_request_can_carry_is_refused(gateway: Gateway, name: str) -> None:
    new = {"name": "a", "base_url": PUBLIC, "headers": {name: "1"}}
    found = problem(await gateway.call("editor", "POST", "/connections", new), 422)
    assert "headers" in found["detail"]
