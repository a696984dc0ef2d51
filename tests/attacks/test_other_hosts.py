"""Requests by a name that is not this server's (DNS rebinding), and to this server by its own."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from starlette.types import Message

from llm_router.errors import AddressRefusedError
from llm_router.gateway.hosts import HostCheck, host_name
from llm_router.net.guard import AddressGuard, is_own
from tests.contracts.api_process import isolated_environ, serving

REBOUND = ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "localhost.evil.example",
           "evil.example/?localhost", "localhost@evil.example", "localhost#evil.example", "0.0.0.0",
           "", "[::1", "localhost:1:2", "10.0.0.1"]  # fmt: skip
HERE = ["127.0.0.1", "localhost", "LOCALHOST:80", "127.0.0.2:8787", "[::1]:8787", "a.localhost"]


async def statuses(url: str, path: str, hosts: Sequence[str]) -> list[int]:
    async with httpx2.AsyncClient(base_url=url) as client:
        return [(await client.get(path, headers={"Host": host})).status_code for host in hosts]


@pytest.mark.parametrize("path", ["/api/demo", "/api/me", "/", "/api/openapi.json", "/nothing"])
async def test_a_demo_on_this_machine_answers_only_to_its_own_names(
    tmp_path: Path, path: str
) -> None:
    async with serving(tmp_path, **isolated_environ(tmp_path), DEMO="true") as here:
        assert {*await statuses(here.url, path, REBOUND)} == {421}
        assert 421 not in await statuses(here.url, path, HERE)


async def test_tokens_and_sign_ins_are_refused_too(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, **isolated_environ(tmp_path), DEMO="true") as here,
        httpx2.AsyncClient(base_url=here.url) as client,
    ):
        headers = {"Host": "evil.example", "Origin": "http://evil.example"}
        for path in ("/token", "/api/session"):
            answer = await client.post(path, headers=headers, json={})
            assert answer.json()["type"] == "/problems/host-not-allowed"
            assert "PUBLIC_HOSTS" in answer.json()["detail"]


async def test_where_names_are_configured_only_those_are_answered(tmp_path: Path) -> None:
    names = {"PUBLIC_HOSTS": "agent.example.org, *.shop.example"}
    public = ["agent.example.org", "Agent.Example.Org:443", "a.shop.example", "localhost"]
    async with serving(tmp_path, **isolated_environ(tmp_path), **names) as here:
        assert await statuses(here.url, "/api/demo", public) == [200] * len(public)
        others = [*REBOUND, "example.org", "shop.example", "xagent.example.org"]
        assert {*await statuses(here.url, "/api/demo", others)} == {421}
        # A probe asks by the address of the container.
        assert await statuses(here.url, "/healthz", ["10.0.0.1:8787"]) == [200]


async def test_a_server_for_others_without_names_answers_to_every_name(tmp_path: Path) -> None:
    async with serving(tmp_path, **isolated_environ(tmp_path)) as here:
        assert await statuses(here.url, "/api/demo", ["agent.example.org"]) == [200]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("A.example:80", "a.example"),
        ("a.example.", "a.example"),
        ("[::1]:80", "::1"),
        ("a/b", ""),
        ("a b", ""),
        ("a:80:80", ""),
        ("a" * 300, ""),
    ],
)
def test_a_host_header_is_a_name_and_a_port(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize("names", [(), (b"localhost", b"evil.example"), (b"localhost",) * 2])
async def test_a_request_without_one_host_is_refused(names: Sequence[bytes]) -> None:
    sent: list[Message] = []

    async def app(*_: object) -> None:
        pytest.fail("it was let through")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"host", name) for name in names],
    }
    await HostCheck(app, ())(scope, receive, send)
    assert sent[0]["status"] == 421


# ── Addresses of connections ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "address",
    ["192.88.99.1", "192.88.99.255", "192.0.0.8", "192.0.0.171", "3fff::1",
     "2002:c058:6301::1", "::ffff:192.88.99.1", "64:ff9b::c058:6301"],
)  # fmt: skip
def test_addresses_that_lead_anywhere_are_refused(address: str) -> None:
    with pytest.raises(AddressRefusedError, match="not on the public internet"):
        AddressGuard().check_address(ip_address(address), address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2002:5db8:d70e::1", "::ffff:93.184.215.14"])
def test_public_addresses_of_this_machine_are_refused(address: str) -> None:
    guard = AddressGuard(is_own=lambda found: str(found) == "93.184.215.14")
    with pytest.raises(AddressRefusedError, match="this machine itself; an administrator can"):
        guard.check_address(ip_address(address), address)
    AddressGuard(is_own=lambda _: False).check_address(ip_address(address), address)
    guard = AddressGuard(allowed=("93.184.215.14/32", "2002::/16", "::ffff:0:0/96"), is_own=is_own)
    guard.check_address(ip_address(address), address)


async def test_a_name_of_an_own_address_is_refused_when_it_is_dialled() -> None:
    async def resolve(_: str) -> Sequence[str]:
        return ["93.184.215.14"]

    guard = AddressGuard(resolve=resolve, is_own=lambda _: True)
    with pytest.raises(AddressRefusedError, match="this machine itself"):
        await guard.addresses("me.example.org")


def test_the_system_knows_its_own_addresses() -> None:
    assert is_own(ip_address("127.0.0.1"))
    assert is_own(ip_address("127.1.2.3"))
    assert not is_own(ip_address("93.184.215.14"))
    assert not is_own(ip_address("2001:db8::1"))
