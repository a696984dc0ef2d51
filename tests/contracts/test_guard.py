"""Tests the guard on the wire, with a DNS server whose responses change."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2
import pytest

from llm_router.errors import AddressRefusedError
from llm_router.net.guard import AddressGuard, Resolver, guarded_transport
from tests.contracts.nameserver import name_server
from tests.contracts.tls import certified

EDITOR = AddressGuard()
ADMIN = AddressGuard(allow_private=True)
OPEN_HERE = AddressGuard(allowed=("127.0.0.1",))
PUBLIC = "198.35.26.96"


@dataclass
class Site:
    """A web server that counts its requests, and may redirect them."""

    elsewhere: str = ""
    port: int = 0
    heads: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.heads.append(head)
                go = f"Location: {self.elsewhere}\r\n" if self.elsewhere else ""
                status = "302 Found" if go else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\n{go}Content-Length: 2\r\n\r\nok".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def site(
    *,
    elsewhere: str = "",
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Site]:
    here = Site(elsewhere)
    server = await asyncio.start_server(here.serve, host, port, ssl=tls)
    async with server:
        here.port = server.sockets[0].getsockname()[1]
        yield here


def client(
    guard: AddressGuard,
    resolve: Resolver,
    *,
    verify: ssl.SSLContext | bool = True,
    connect: float = 5.0,
) -> httpx2.AsyncClient:
    transport = guarded_transport(replace(guard, resolve=resolve), verify=verify)
    timeout = httpx2.Timeout(5.0, connect=connect)
    return httpx2.AsyncClient(transport=transport, timeout=timeout, follow_redirects=True)


async def test_a_name_that_later_resolves_to_a_private_address_is_not_dialled() -> None:
    async with name_server([PUBLIC], ["127.0.0.1"]) as names, site() as secret:
        url = f"http://rebind.example:{secret.port}/v1/models"
        await replace(EDITOR, resolve=names.resolve).check(url)
        async with client(EDITOR, names.resolve) as http:
            with pytest.raises(AddressRefusedError, match=r"rebind\.example \(127\.0\.0\.1\)"):
                await http.get(url)
        assert secret.heads == []
        async with client(ADMIN, names.resolve) as http:
            assert (await http.get(url)).text == "ok"


async def test_the_checked_address_is_the_dialled_one() -> None:
    guard = AddressGuard(allowed=("127.0.0.2",))
    async with (
        name_server(["127.0.0.2"], ["127.0.0.1"]) as names,
        site(host="127.0.0.2") as judged,
        site(port=judged.port) as secret,
        client(guard, names.resolve) as http,
    ):
        await http.get(f"http://rebind.example:{judged.port}/")
        assert names.asked == ["rebind.example"]
        assert (len(judged.heads), len(secret.heads)) == (1, 0)
        assert f"Host: rebind.example:{judged.port}" in judged.heads[0]


async def test_an_open_connection_needs_no_further_dns_query() -> None:
    async with (
        name_server(["127.0.0.1"], [PUBLIC]) as names,
        site() as here,
        client(OPEN_HERE, names.resolve) as http,
    ):
        for _ in range(3):
            await http.get(f"http://api.example:{here.port}/")
        assert len(names.asked) == 1
        assert len(here.heads) == 3


async def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    async with (
        name_server([PUBLIC, "127.0.0.1"]) as names,
        site() as secret,
        client(EDITOR, names.resolve) as http,
    ):
        with pytest.raises(AddressRefusedError):
            await http.get(f"http://rebind.example:{secret.port}/")
        assert secret.heads == []


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://2852039166/",
        "http://127.0.0.2:1/",
    ],
)
async def test_a_redirect_to_a_private_address_is_not_followed(elsewhere: str) -> None:
    async with (
        name_server(["127.0.0.1"]) as names,
        site(elsewhere=elsewhere) as lure,
        client(OPEN_HERE, names.resolve) as http,
    ):
        with pytest.raises(AddressRefusedError):
            await http.get(f"http://127.0.0.1:{lure.port}/")
        assert len(lure.heads) == 1


async def test_allow_private_allows_a_redirect_to_a_private_address() -> None:
    async with name_server(["127.0.0.1"]) as names, site() as inside:
        metadata = f"http://metadata.google.internal:{inside.port}/"
        async with site(elsewhere=metadata) as lure:
            async with client(OPEN_HERE, names.resolve) as http:
                with pytest.raises(AddressRefusedError):
                    await http.get(f"http://127.0.0.1:{lure.port}/")
            async with client(ADMIN, names.resolve) as http:
                assert (await http.get(f"http://127.0.0.1:{lure.port}/")).text == "ok"


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with name_server(["127.0.0.1"]) as names, site() as proxy, site() as here:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with client(OPEN_HERE, names.resolve) as http:
            await http.get(f"http://api.example:{here.port}/")
        assert (len(proxy.heads), len(here.heads)) == (0, 1)


@pytest.mark.parametrize("addresses", [["127.0.0.3", "127.0.0.1"], ["127.0.0.1", "127.0.0.3"]])
async def test_the_first_address_that_connects_is_used(
    addresses: Sequence[str],
) -> None:
    guard = AddressGuard(allowed=("127.0.0.0/8",))
    async with (
        name_server(addresses) as names,
        site() as here,
        client(guard, names.resolve) as http,
    ):
        assert (await http.get(f"http://api.example:{here.port}/")).text == "ok"


async def test_a_name_without_an_address_or_server_is_a_connection_error() -> None:
    async with name_server([], ["127.0.0.1"]) as names, site() as gone:
        pass
    async with name_server([], ["127.0.0.1"]) as names, client(OPEN_HERE, names.resolve) as http:
        with pytest.raises(httpx2.ConnectError, match="has no address"):
            await http.get(f"http://api.example:{gone.port}/")
        with pytest.raises(httpx2.ConnectError):
            await http.get(f"http://api.example:{gone.port}/")


async def test_a_silent_name_server_costs_no_more_than_the_connect_timeout() -> None:
    async def silent(_host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with client(EDITOR, silent, connect=0.05) as http:
        with pytest.raises(httpx2.ConnectTimeout):
            await http.get("http://api.example/")


async def test_a_request_can_be_cancelled_during_the_dns_query() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def silent(_host: str) -> Sequence[str]:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return []

    async with client(EDITOR, silent) as http:
        calling = asyncio.create_task(http.get("http://api.example/"))
        await asked.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert left.is_set()


async def test_the_certificate_must_be_for_the_name_not_for_the_address(tmp_path: Path) -> None:
    server, trusting = certified(tmp_path, "api.example")
    async with (
        name_server(["127.0.0.1"]) as names,
        site(tls=server) as here,
        client(OPEN_HERE, names.resolve, verify=trusting) as http,
    ):
        assert (await http.get(f"https://api.example:{here.port}/")).text == "ok"
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            await http.get(f"https://other.example:{here.port}/")
