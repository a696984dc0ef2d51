"""A rehearsal reaches a vendor the way calls do, and says which engine fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from livekit.agents.utils.http_context import http_session as session_of_plugins
from pydantic import SecretStr

from agent.call_options import http_proxy
from agent.rehearsal import http_session, rehearse
from agent.speech.stt import STTOptions
from agent.speech.tts import TTSOptions
from config.settings import Settings
from llm_router.errors import ConfigurationError

PROXIES = {"HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "http://other:3128"}


@pytest.mark.parametrize(
    ("livekit", "environ", "proxy"),
    [
        ("wss://a.livekit.cloud", PROXIES, "http://proxy:3128"),
        ("wss://a.livekit.cloud", {}, None),
        ("ws://127.0.0.1:7880", PROXIES, None),
        ("ws://[::1]:7880", PROXIES, None),
        ("ws://localhost:7880", PROXIES, None),
        ("ws://10.0.0.5:7880", {"HTTP_PROXY": "http://other:3128"}, "http://other:3128"),
    ],
)
def test_calls_use_a_proxy_unless_livekit_is_on_this_machine(
    livekit: str, environ: dict[str, str], proxy: str | None
) -> None:
    secret = SecretStr("s" * 32)
    settings = Settings(livekit_url=livekit, livekit_api_key="k", livekit_api_secret=secret)
    assert http_proxy(settings, environ) == proxy


@asynccontextmanager
async def proxy_that_answers() -> AsyncIterator[tuple[str, list[bytes]]]:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_plugins_find_a_session_with_the_proxy() -> None:
    async with (
        proxy_that_answers() as (url, asked),
        http_session(url),
        session_of_plugins().get("http://vendor.test/voices") as answer,
    ):
        assert answer.status == 204
    assert asked[0].startswith(b"GET http://vendor.test/voices ")


async def test_without_any_voice_a_rehearsal_fails(unused_url: str) -> None:
    nowhere = TTSOptions(base_url=unused_url, language="xx")
    with pytest.raises(ConfigurationError, match=r"'openai' makes no sound: .*TTS_BASE_URL"):
        await rehearse("openai", nowhere, "embedded", STTOptions(), None)


async def test_an_engine_that_fails_is_a_warning_while_its_fallback_works(
    unused_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    speaking, listening = TTSOptions(base_url=unused_url), STTOptions(base_url=unused_url)
    await rehearse("openai", speaking, "openai", listening, None)
    warnings = [r.getMessage() for r in caplog.records if r.name == "agent"]
    assert ["TTS_BASE_URL" in warnings[0], "STT_BASE_URL" in warnings[1]] == [True, True]
    assert len(warnings) == 2


async def test_a_proxy_that_cannot_be_used_is_named_and_the_fallback_works(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://proxy:70")
    server = "https://127.0.0.1:9/v1"
    speaking, listening = TTSOptions(base_url=server), STTOptions(base_url=server)
    await rehearse("openai", speaking, "openai", listening, None)
    warnings = [r.getMessage() for r in caplog.records if r.name == "agent"]
    assert ["ALL_PROXY names a gopher proxy" in line for line in warnings] == [True, True]


async def test_certificates_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "none.pem")
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE names none\.pem"):
        await rehearse("embedded", TTSOptions(), "embedded", STTOptions(), None)
