"""Tests of which redirects are followed, and of what is said of the others."""

from pathlib import Path

import httpx2
import pytest

from llm_router.classification import classify
from llm_router.errors import StatusError, WrongAddressError
from llm_router.failures import FailureClass
from llm_router.providers._wire.redirects import redirect_target
from llm_router.testing.server import FaultyServer
from tests.contracts.byte_server import Answer, Asked, ByteServer, page, said
from tests.contracts.tls import certified
from tests.contracts.wire import KEY, WIRES, connect, http, raw_server, read, text

STATUSES = [301, 302, 303, 307, 308]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("status", STATUSES)
async def test_a_redirect_to_another_server_is_not_followed(status: int, wire: str) -> None:
    async with FaultyServer() as elsewhere:
        moved = http(f"{status} Moved", b"", f"location: {elsewhere.base_url}/chat/completions?a=b")
        async with raw_server(moved) as url, connect(url, provider=wire) as provider:
            with pytest.raises(StatusError) as caught:
                await read(provider)
        assert caught.value.status == status
        assert elsewhere.connections == 0
        failure = classify(caught.value)
        assert failure.kind is FailureClass.WRONG_ADDRESS
        assert elsewhere.base_url in str(failure)
        assert "a=b" not in str(failure)


@pytest.mark.parametrize(
    ("asked", "location", "target"),
    [
        ("http://h/v1/chat", "https://h/v1/chat", "https://h/v1/chat"),
        ("http://h:8080/v1/chat", "https://h:8443/v1/chat", "https://h:8443/v1/chat"),
        ("http://h/v1/chat", "https://user:secret@h/v1/chat#x", "https://h/v1/chat"),
        ("http://h/v1/chat", "/v1/chat/", "http://h/v1/chat/"),
        ("https://h/v1/chat", "https://h/api/v2/chat", "https://h/api/v2/chat"),
        ("http://h/v1/chat", "//h/v2/chat", "http://h/v2/chat"),
        ("http://h/v1/chat", "https://H/v1/chat", "https://h/v1/chat"),
        ("http://h/v1/chat?api-version=1", *("https://h/v1/chat?api-version=1",) * 2),
        # another host, another port, without TLS, a page for people, nonsense
        ("http://h/v1/chat", "https://other/v1/chat", None),
        ("http://h/v1/chat", "https://h.other/v1/chat", None),
        ("http://h/v1/chat", "//other/v1/chat", None),
        ("http://h/v1/chat", "http://h:81/v1/chat", None),
        ("https://h/v1/chat", "http://h/v1/chat", None),
        ("https://h/v1/chat", "/login", None),
        ("https://h/v1/chat", "https://h/", None),
        ("https://h/v1/chat", "ftp://h/v1/chat", None),
        ("http://h/v1/chat", "", None),
        ("http://h/v1/chat", "http://[", None),
        ("http://h/v1/chat", "https://\x00/v1/chat", None),
    ],
)
def test_only_the_same_route_at_the_same_host_is_followed(
    asked: str, location: str, target: str | None
) -> None:
    url = httpx2.URL(asked)
    if target is None:
        with pytest.raises(WrongAddressError, match="base_url"):
            redirect_target(308, url, location)
    else:
        assert str(redirect_target(308, url, location)) == target


@pytest.mark.parametrize("status", STATUSES)
async def test_a_redirect_to_the_same_hosts_https_is_followed_with_the_whole_request(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secured, _ = certified(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "both.pem"))
    async with ByteServer(lambda _: said("Yes."), secured) as server:

        def moved(asked: Asked) -> Answer:
            return page(f"{status} Moved", b"", f"location: {server.root}{asked.path}")

        async with ByteServer(moved) as plain, connect(f"{plain.root}/v1") as provider:
            replies = [text(await read(provider)) for _ in range(2)]
    assert replies == ["Yes.", "Yes."]
    assert [asked.method for asked in server.asked] == ["POST", "POST"]
    assert all(asked.headers["authorization"] == f"Bearer {KEY}" for asked in server.asked)
    assert all(asked.body["messages"] for asked in server.asked)
    # One that is for good is remembered.
    assert len(plain.posts) == (1 if status in {301, 308} else 2)


async def test_a_redirect_is_followed_only_once() -> None:
    async with ByteServer(
        lambda asked: page("308 Moved", b"", f"location: {asked.path}")
    ) as server:
        async with connect(f"{server.root}/v1") as provider:
            with pytest.raises(StatusError) as caught:
                await read(provider)
        assert len(server.posts) == 2
    assert classify(caught.value).kind is FailureClass.WRONG_ADDRESS
