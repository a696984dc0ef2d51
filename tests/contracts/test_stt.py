"""Tests what every STT engine promises, and the fallback for a dead one."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, stt
from livekit.agents.metrics import STTMetrics
from livekit.agents.stt import SpeechEvent, SpeechEventType
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer

from agent.speech.stt import STTOptions, as_stream
from agent.stt import ENGINES, load
from agent.stt.embedded import EmbeddedSTT
from llm_router.errors import ConfigurationError, UnknownPluginError
from tests.contracts.speech_server import SpeechServer, client_tasks, serving
from tests.contracts.stt_sentences import (
    RATE,
    SENTENCES,
    has_key_words,
    push,
    samples,
    transcribe,
    words,
)

NAMES = ["livekit_plugin:openai" if name == "livekit_plugin" else name for name in ENGINES.names()]


class Server(SpeechServer):
    """Answers each HTTP request with the status and JSON body that `answer` returns."""

    def __init__(
        self, answer: Callable[[], Awaitable[tuple[int, object]]], *, keeps_alive: bool = False
    ) -> None:
        super().__init__(keeps_alive=keeps_alive)
        self.answer = answer

    async def respond(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        status, content = await self.answer()
        raw = json.dumps(content).encode()
        writer.write(
            b"HTTP/1.1 %d x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: %b\r\n\r\n%b"
            % (status, len(raw), b"keep-alive" if self.keeps_alive else b"close", raw)
        )


async def saying_what_time() -> tuple[int, object]:
    return 200, {"text": SENTENCES["what_time"]["text"]}


async def failing() -> tuple[int, object]:
    return 500, {"error": {"message": "out of memory"}}


async def hanging() -> tuple[int, object]:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
async def options() -> AsyncIterator[STTOptions]:
    async with serving(Server(saying_what_time)) as url:
        yield STTOptions(base_url=url, api_key="key", timeout=30)


@pytest.mark.parametrize("name", NAMES)
async def test_an_engine_gives_the_words_of_a_sentence(name: str, options: STTOptions) -> None:
    engine = load(name, options, fallback=False)
    events = await transcribe(engine, "what_time")
    await engine.aclose()
    assert has_key_words(words(events), "what_time")
    kinds = [event.type for event in events]
    assert kinds.index(SpeechEventType.START_OF_SPEECH) < kinds.index(
        SpeechEventType.FINAL_TRANSCRIPT
    )


@pytest.mark.parametrize("name", NAMES)
async def test_an_engine_transcribes_stream_after_stream(name: str, options: STTOptions) -> None:
    engine = load(name, options)
    assert engine.capabilities.streaming
    for _ in range(2):
        assert has_key_words(words(await transcribe(engine, "what_time")), "what_time")
    await engine.aclose()


@pytest.mark.parametrize("name", NAMES)
async def test_a_stream_closed_in_mid_word_leaves_no_task(name: str, options: STTOptions) -> None:
    before = client_tasks()
    engine = load(name, options)
    async with engine.stream() as stream:
        push(stream, samples("what_time")[: 2 * RATE])
        await anext(stream)
    await engine.aclose()
    assert client_tasks() == before


@pytest.mark.parametrize("name", NAMES)
async def test_the_length_of_the_audio_is_counted_once(name: str, options: STTOptions) -> None:
    counted: list[STTMetrics] = []
    engine = load(name, options)
    engine.on("metrics_collected", counted.append)
    await transcribe(engine, "what_time")
    await engine.aclose()
    assert len(counted) == 1
    assert 1.5 < counted[0].audio_duration < 4


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownPluginError, match=r"'ear_trumpet'; known: embedded, .*openai"):
        load("ear_trumpet", STTOptions())


# Engines behind a network


async def test_the_embedded_engine_transcribes_a_refused_utterance(unused_url: str) -> None:
    engine = load("openai", STTOptions(base_url=unused_url))
    assert has_key_words(
        words(await transcribe(engine, "cancel_appointment")), "cancel_appointment"
    )
    await engine.aclose()


@pytest.mark.timeout(20)  # by itself the plugin waits 30 s for an answer
@pytest.mark.parametrize("answer", [failing, hanging])
async def test_the_embedded_engine_transcribes_an_unanswered_utterance(
    answer: Callable[[], Awaitable[tuple[int, object]]],
) -> None:
    async with serving(Server(answer)) as url:
        engine = load("openai", STTOptions(base_url=url, timeout=0.2))
        assert has_key_words(
            words(await transcribe(engine, "cancel_appointment")), "cancel_appointment"
        )
        await engine.aclose()


class Broken(stt.STT[Any]):
    """A streaming service that closes each connection at once."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return BrokenStream(stt=self, conn_options=conn_options)

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> SpeechEvent:
        raise APIConnectionError


class BrokenStream(stt.RecognizeStream):
    async def _run(self) -> None:
        raise APIConnectionError


async def test_the_embedded_engine_takes_over_a_stream_that_breaks() -> None:
    before = client_tasks()
    engine = as_stream(Broken(), EmbeddedSTT(), timeout=1)
    changed = asyncio.Event()
    engine.on("stt_availability_changed", lambda _: changed.set())
    async with engine.stream() as stream:
        push(stream, bytes(RATE))
        await changed.wait()
        push(stream, samples("cancel_appointment"))
        stream.end_input()
        transcript = words([event async for event in stream])
    await engine.aclose()
    assert has_key_words(transcript, "cancel_appointment")
    assert client_tasks() == before


async def test_without_a_fallback_a_dead_service_is_an_error(unused_url: str) -> None:
    engine = load("openai", STTOptions(base_url=unused_url), fallback=False)
    async with engine.stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
        push(stream, samples("what_time"))
        with pytest.raises(APIError):
            _ = [event async for event in stream]
    await engine.aclose()


async def test_a_language_without_a_spare_still_has_its_engine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(Server(saying_what_time)) as url:
        engine = load("openai", STTOptions(base_url=url, language="de"))
        assert words(await transcribe(engine, "what_time")) == SENTENCES["what_time"]["text"]
        await engine.aclose()
    assert "the STT engine has no embedded one as its fallback" in caplog.text


async def test_a_key_for_openai_does_not_go_to_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai")
    server = Server(saying_what_time)
    async with serving(server) as url:
        engine = load("openai", STTOptions(base_url=url), fallback=False)
        await transcribe(engine, "what_time")
        await engine.aclose()
    assert server.heads
    assert "sk-for-openai" not in "".join(server.heads)


async def test_closing_an_engine_closes_its_connections() -> None:
    server = Server(saying_what_time, keeps_alive=True)
    async with serving(server) as url:
        engine = load("openai", STTOptions(base_url=url))
        await transcribe(engine, "what_time")
        assert not server.hung_up.is_set()
        await engine.aclose()
        await server.hung_up.wait()


def test_openai_without_a_key_or_a_server_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs STT_API_KEY, or STT_BASE_URL"):
        load("openai", STTOptions())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("livekit_plugin:no_such_maker", "EXTRAS=no_such_maker make setup"),
        ("livekit_plugin:silero", "has no STT"),
        ("livekit_plugin", "after a colon"),
        ("livekit_plugin:../os", "after a colon"),
    ],
)
def test_a_plugin_that_cannot_be_had_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load(name, STTOptions())
