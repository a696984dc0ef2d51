"""Tests that a broken environment harms only the connections that need it."""

from pathlib import Path

import pytest

from llm_router import open_router
from llm_router.classification import classify
from llm_router.connections.record import Connection
from llm_router.discovery.local_servers import identify_server
from llm_router.errors import UnreachableError
from llm_router.types import ChatRequest
from tests.contracts.byte_server import ByteServer, page, said
from tests.contracts.tls import certified
from tests.contracts.wire import connect, http, raw_server, read, text

BROKEN = [
    {"SSL_CERT_FILE": "/nowhere/authorities.pem"},
    {"SSL_CERT_DIR": "/nowhere/authorities"},
    {"REQUESTS_CA_BUNDLE": "/nowhere/authorities.pem"},
    {"HTTPS_PROXY": "nonsense://proxy:1"},
    {"HTTP_PROXY": "nonsense://proxy:1", "NO_PROXY": "localhost,[::1],fd00::/8"},
    {"ALL_PROXY": "socks4://proxy:1", "NO_PROXY": "localhost"},
    {"all_proxy": "socks://127.0.0.1:1", "no_proxy": "localhost"},
    {"http_proxy": "127.0.0.1:99999", "no_proxy": "*"},
]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest.mark.parametrize("environ", BROKEN)
async def test_a_local_server_answers_beside_a_cloud_that_cannot_be_reached(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    async with ByteServer(lambda _: said("Yes.")) as server:
        connections = [
            Connection(name="cloud", base_url="https://127.0.0.1:9/v1", model_name="m"),
            Connection(name="local", base_url=f"{server.root}/v1", model_name="m", priority=10),
        ]
        request = ChatRequest(messages=[{"role": "user", "content": "Open?"}])
        async with open_router(connections) as router:
            reply = [chunk async for chunk in router.stream(request)]
        assert text(reply) == "Yes."
        await identify_server(f"{server.root}/v1", within=1.0)


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"SSL_CERT_FILE": "/nowhere/authorities.pem"}, "SSL_CERT_FILE"),
        ({"SSL_CERT_DIR": "/nowhere/authorities"}, "SSL_CERT_DIR"),
        ({"HTTPS_PROXY": "nonsense://proxy:1"}, "HTTPS_PROXY"),
        ({"https_proxy": "http://proxy:port"}, "https_proxy"),
        ({"ALL_PROXY": "http://127.0.0.1:1"}, "ALL_PROXY"),
    ],
)
async def test_a_connection_that_needs_it_names_the_variable_and_the_cure(
    environ: dict[str, str], variable: str, wire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    async with connect("https://api.example/v1", provider=wire) as provider:
        with pytest.raises(UnreachableError) as caught:
            await read(provider)
    failure = classify(caught.value)
    assert variable in failure.reason
    assert variable in failure.advice


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"SSL_CERT_FILE": "/nowhere/authorities.pem"}, "SSL_CERT_FILE"),
        ({"HTTPS_PROXY": "nonsense://proxy:1"}, "HTTPS_PROXY"),
        ({"ALL_PROXY": "socks4://proxy:1"}, "ALL_PROXY"),
    ],
)
async def test_a_plugins_library_that_cannot_start_harms_its_connection_only(
    environ: dict[str, str], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    plugin = {"provider": "livekit_plugin", "server": "openai", "api_key": "sk-1"}
    async with connect("", **plugin) as provider:
        with pytest.raises(UnreachableError, match=variable):
            await read(provider)
        with pytest.raises(UnreachableError, match=variable):
            await provider.probe()


async def test_a_variable_that_was_corrected_holds_for_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ByteServer(lambda _: said("Yes.")) as server:
        monkeypatch.setenv("HTTP_PROXY", "nonsense://proxy:1")
        async with connect(f"{server.root}/v1") as provider:
            with pytest.raises(UnreachableError):
                await read(provider)
            monkeypatch.delenv("HTTP_PROXY")
            assert text(await read(provider)) == "Yes."


async def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ByteServer(lambda _: page("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:word@localhost:{proxy.port}")
        async with connect("https://api.example/v1") as provider:
            with pytest.raises(UnreachableError, match="HTTPS_PROXY") as caught:
                await read(provider)
        assert "word" not in str(caught.value)
        assert proxy.asked[0].path == "api.example:443"
        assert proxy.asked[0].headers["proxy-authorization"].startswith("Basic ")


async def test_an_authority_of_ones_own_is_missing_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secured, _ = certified(tmp_path, "localhost")
    async with ByteServer(lambda _: said("Yes."), secured) as server:
        async with connect(f"{server.root}/v1") as provider:
            with pytest.raises(UnreachableError) as caught:
                await read(provider)
        failure = classify(caught.value)
        assert "CERTIFICATE_VERIFY_FAILED" in failure.reason
        assert "SSL_CERT_FILE" in failure.advice
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "both.pem"))
        async with connect(f"{server.root}/v1") as provider:
            assert text(await read(provider)) == "Yes."


async def test_https_to_a_server_without_it_says_so() -> None:
    async with (
        raw_server(http("400 Bad Request"), greets=True) as url,
        connect(url.replace("http:", "https:")) as provider,
    ):
        with pytest.raises(UnreachableError) as caught:
            await read(provider)
    assert "http://" in classify(caught.value).advice


async def test_a_host_that_no_name_server_knows_says_so() -> None:
    async with connect("http://no-such-host.invalid/v1") as provider:
        with pytest.raises(UnreachableError) as caught:
            await read(provider)
    assert "name server" in classify(caught.value).advice
