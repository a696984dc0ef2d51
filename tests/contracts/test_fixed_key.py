"""Tests the one API key of PROXY_API_KEY: it passes the checks of stored keys, and no other."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from llm_router.connections.access import SYSTEM
from llm_router.gateway.rates import RateLimit
from llm_router.store.fixed_key import KeysWithFixed
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, problem

FIXED = "a-fixed-key-of-some-length"


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new(), request_limit=RateLimit("4/hour")) as gateway:
        services = gateway.services
        keys = KeysWithFixed(services.database, FIXED, "PROXY_API_KEY")
        gateway.app.state.services = replace(services, keys=keys)
        gateway.keys["fixed"] = FIXED
        yield gateway


@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
async def test_either_header_brings_it_to_the_same_check(gateway: Gateway, header: str) -> None:
    for text, status in ((FIXED, 200), (FIXED + "x", 401), (FIXED[:-1], 401), ("", 401)):
        value = f"Bearer {text}" if header == "Authorization" else text
        answer = await gateway.call("", "GET", "/me", headers={header: value})
        assert answer.status_code == status, text
    said = (await gateway.call("fixed", "GET", "/me")).json()
    assert (said["name"], said["role"], said["owner"]) == ("PROXY_API_KEY", "operator", "")


async def test_it_reaches_what_is_visible_to_everyone_and_nothing_else(gateway: Gateway) -> None:
    await gateway.connection(name="private")
    await gateway.connection(name="open", visibility="everyone")
    listed = (await gateway.call("fixed", "GET", "/connections")).json()["items"]
    assert [row["name"] for row in listed] == ["open"]
    for path in ("/keys", "/audit", "/webhooks"):
        problem(await gateway.call("fixed", "GET", path), 403)


async def test_its_requests_are_counted_like_those_of_any_key(gateway: Gateway) -> None:
    statuses = [(await gateway.call("fixed", "GET", "/me")).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 200, 429]


async def test_it_opens_no_session_and_is_in_no_list(gateway: Gateway) -> None:
    refused = problem(await gateway.call("", "POST", "/session", {"api_key": FIXED}), 403)
    assert "opens no session" in refused["detail"]
    assert FIXED not in refused["detail"]
    keys = gateway.app.state.services.keys
    found, _ = await keys.find(SYSTEM)
    assert "PROXY_API_KEY" not in {key.name for key in found}


async def test_stored_keys_are_valid_beside_it(gateway: Gateway) -> None:
    assert (await gateway.call("viewer", "GET", "/me")).json()["role"] == "viewer"
