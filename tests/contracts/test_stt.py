"""What every STT engine keeps to, and what happens when one is dead."""

import asyncio
import json
import socket
import tomllib
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, stt
from livekit.agents.metrics import STTMetrics
from livekit.agents.stt import SpeechEvent, SpeechEventType, STTError
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer

from agent.stt import load
from agent.stt.base import Engine, STTOptions, as_stream
from agent.stt.embedded import EmbeddedSTT
from llm_router.errors import ConfigurationError, UnknownPluginError
from llm_router.plugins import Plugins

FOLDER = Path(__file__).parents[1] / "voice" / "sentences"
SENTENCES = tomllib.loads((FOLDER / "sentences.toml").read_text())
RATE, FRAME = 16_000, 320  # 20 ms

NAMES = [
    "livekit_plugin:openai" if name == "livekit_plugin" else name
    for name in Plugins("agent.stt", "STT engine").names()
]


def samples(name: str) -> bytes:
    """The sentence, with half a second of silence around it."""
    with wave.open(str(FOLDER / f"{name}.wav")) as wav:
        assert wav.getframerate() == RATE
        speech: bytes = wav.readframes(wav.getnframes())
    return bytes(RATE) + speech + bytes(RATE)


def push(stream: stt.RecognizeStream, pcm: bytes) -> None:
    for start in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME):
        frame = rtc.AudioFrame(pcm[start : start + 2 * FRAME], RATE, 1, FRAME)
        stream.push_frame(frame)


async def hear(ears: Engine, name: str) -> list[SpeechEvent]:
    async with ears.stream() as stream:
        push(stream, samples(name))
        stream.end_input()
        return [event async for event in stream]


def words(events: list[SpeechEvent]) -> str:
    final = [event for event in events if event.type is SpeechEventType.FINAL_TRANSCRIPT]
    return " ".join(event.alternatives[0].text for event in final)


def has_key_words(text: str, name: str) -> bool:
    return set(SENTENCES[name]["key_words"]) <= set(text.split())


class Server:
    """Answers each HTTP request as `answer` says: a status and a JSON body."""

    def __init__(
        self, answer: Callable[[], Awaitable[tuple[int, object]]], *, keeps_alive: bool = False
    ) -> None:
        self.answer, self.keeps_alive = answer, keeps_alive
        self.heads: list[str] = []
        self.hung_up = asyncio.Event()
        """A client has closed its connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = False
        while self.keeps_alive or not answered:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            self.heads.append(head)
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            await reader.readexactly(length)
            status, body = await self.answer()
            raw = json.dumps(body).encode()
            writer.write(
                b"HTTP/1.1 %d x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: %b\r\n\r\n%b"
                % (status, len(raw), b"keep-alive" if self.keeps_alive else b"close", raw)
            )
            answered = True


def tasks_of_the_client() -> set[asyncio.Task[Any]]:
    """All that run, but for those of the server below."""
    ours = ("Server.serve", "serving.<locals>.accept")
    return {
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "__qualname__", "") not in ours
    }


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        connections.add(task)
        try:
            await task
        except (asyncio.IncompleteReadError, ConnectionError):
            server.hung_up.set()
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        listener.close()
        for task in connections:
            task.cancel()
        await listener.wait_closed()


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
        yield STTOptions(base_url=url, api_key="key")


@pytest.fixture
def unused_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


@pytest.mark.parametrize("name", NAMES)
async def test_an_engine_gives_the_words_of_a_sentence(name: str, options: STTOptions) -> None:
    ears = load(name, options, fallback=False)
    events = await hear(ears, "what_time")
    await ears.aclose()
    assert has_key_words(words(events), "what_time")
    kinds = [event.type for event in events]
    assert kinds.index(SpeechEventType.START_OF_SPEECH) < kinds.index(
        SpeechEventType.FINAL_TRANSCRIPT
    )


@pytest.mark.parametrize("name", NAMES)
async def test_an_engine_streams_and_each_stream_is_heard(name: str, options: STTOptions) -> None:
    ears = load(name, options)
    assert ears.capabilities.streaming
    for _ in range(2):
        assert has_key_words(words(await hear(ears, "what_time")), "what_time")
    await ears.aclose()


@pytest.mark.parametrize("name", NAMES)
async def test_a_stream_closed_in_mid_word_leaves_no_task(name: str, options: STTOptions) -> None:
    before = tasks_of_the_client()
    ears = load(name, options)
    async with ears.stream() as stream:
        push(stream, samples("what_time")[: 2 * RATE])
        await anext(stream)
    await ears.aclose()
    assert tasks_of_the_client() == before


@pytest.mark.parametrize("name", NAMES)
async def test_the_length_of_what_was_heard_is_counted_once(name: str, options: STTOptions) -> None:
    counted: list[STTMetrics] = []
    ears = load(name, options)
    ears.on("metrics_collected", counted.append)
    await hear(ears, "what_time")
    await ears.aclose()
    assert len(counted) == 1
    assert 1.5 < counted[0].audio_duration < 4


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownPluginError, match=r"'ear_trumpet'; known: embedded, .*openai"):
        load("ear_trumpet", STTOptions())


# The embedded engine


@pytest.fixture
async def ears() -> AsyncIterator[EmbeddedSTT]:
    engine = EmbeddedSTT()
    yield engine
    await engine.aclose()


@pytest.mark.parametrize("name", SENTENCES)
async def test_the_key_words_of_a_sentence_are_heard(ears: EmbeddedSTT, name: str) -> None:
    heard = words(await hear(ears, name))
    assert has_key_words(heard, name), heard


async def test_a_flush_ends_the_utterance_and_the_stream_goes_on(ears: EmbeddedSTT) -> None:
    async with ears.stream() as stream:
        for name in ("what_time", "stop_please"):
            push(stream, samples(name))
            stream.flush()
            events: list[SpeechEvent] = []
            while not events or events[-1].type is not SpeechEventType.END_OF_SPEECH:
                events.append(await anext(stream))
            assert has_key_words(words(events), name)


async def test_the_words_are_shown_as_they_come_and_told_in_the_pause(ears: EmbeddedSTT) -> None:
    events = await hear(ears, "my_bill")
    kinds = [event.type for event in events]
    assert kinds.index(SpeechEventType.INTERIM_TRANSCRIPT) < kinds.index(
        SpeechEventType.PREFLIGHT_TRANSCRIPT
    )
    assert kinds[-4:] == [
        SpeechEventType.PREFLIGHT_TRANSCRIPT,
        SpeechEventType.FINAL_TRANSCRIPT,
        SpeechEventType.END_OF_SPEECH,
        SpeechEventType.RECOGNITION_USAGE,
    ]
    assert has_key_words(events[-4].alternatives[0].text, "my_bill")


async def test_words_come_with_how_sure_they_are(ears: EmbeddedSTT) -> None:
    final = [event for event in await hear(ears, "my_bill") if event.type == "final_transcript"]
    assert 0.5 < final[0].alternatives[0].confidence <= 1


async def test_silence_is_no_speech(ears: EmbeddedSTT) -> None:
    async with ears.stream() as stream:
        push(stream, bytes(10 * RATE))
        stream.end_input()
        assert [event async for event in stream] == []


async def test_streams_side_by_side_do_not_hear_each_other(ears: EmbeddedSTT) -> None:
    names = ["what_time", "cancel_appointment", "real_person"]
    heard = await asyncio.gather(*(hear(ears, name) for name in names))
    for name, events in zip(names, heard, strict=True):
        assert has_key_words(words(events), name)


async def test_a_stream_cut_off_in_mid_word_does_not_disturb_the_next(ears: EmbeddedSTT) -> None:
    async with ears.stream() as stream:
        push(stream, samples("cancel_appointment")[: 3 * RATE])
        await anext(stream)
    assert has_key_words(words(await hear(ears, "what_time")), "what_time")


async def test_a_whole_utterance_at_another_rate_is_heard(ears: EmbeddedSTT) -> None:
    pcm = samples("what_time")
    resampler = rtc.AudioResampler(RATE, 48_000)
    frames = [*resampler.push(bytearray(pcm)), *resampler.flush()]
    event = await ears.recognize(frames)
    assert has_key_words(event.alternatives[0].text, "what_time")


async def test_a_decoder_that_fails_is_replaced(ears: EmbeddedSTT) -> None:
    errors: list[STTError] = []
    ears.on("error", errors.append)
    ears.prewarm()

    def spoil() -> None:
        """Leaves an utterance open in the decoder, so that the stream cannot begin one."""
        ears._idle[0].start_utt()

    await asyncio.wrap_future(ears._thread.submit(spoil))
    heard = words(await hear(ears, "what_time"))
    assert "saturday" in heard.split()
    assert [error.recoverable for error in errors] == [True]
    assert isinstance(errors[0].error, APIError)


async def test_a_closed_engine_leaves_no_thread() -> None:
    engine = EmbeddedSTT()
    stream = engine.stream()
    push(stream, samples("what_time"))
    await anext(stream)
    threads = list(engine._thread._threads)
    assert threads
    await engine.aclose()
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()
    with pytest.raises(RuntimeError, match=r"closed|ended"):
        push(stream, samples("what_time"))


def test_another_language_than_english_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="English only, not 'de'"):
        load("embedded", STTOptions(language="de"))


# Engines behind a network


async def test_a_refused_utterance_is_heard_by_the_embedded_engine(unused_url: str) -> None:
    ears = load("openai", STTOptions(base_url=unused_url))
    assert has_key_words(words(await hear(ears, "cancel_appointment")), "cancel_appointment")
    await ears.aclose()


@pytest.mark.timeout(20)  # the plugin by itself waits 30 s for an answer
@pytest.mark.parametrize("answer", [failing, hanging])
async def test_an_unanswered_utterance_is_heard_by_the_embedded_engine(
    answer: Callable[[], Awaitable[tuple[int, object]]],
) -> None:
    async with serving(Server(answer)) as url:
        ears = load("openai", STTOptions(base_url=url, timeout=0.2))
        assert has_key_words(words(await hear(ears, "cancel_appointment")), "cancel_appointment")
        await ears.aclose()


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


async def test_a_stream_that_breaks_goes_on_in_the_embedded_engine() -> None:
    before = tasks_of_the_client()
    ears = as_stream(Broken(), EmbeddedSTT(), timeout=1)
    changed = asyncio.Event()
    ears.on("stt_availability_changed", lambda _: changed.set())
    async with ears.stream() as stream:
        push(stream, bytes(RATE))
        await changed.wait()
        push(stream, samples("cancel_appointment"))
        stream.end_input()
        heard = words([event async for event in stream])
    await ears.aclose()
    assert has_key_words(heard, "cancel_appointment")
    assert tasks_of_the_client() == before


async def test_without_a_fallback_a_dead_service_is_an_error(unused_url: str) -> None:
    ears = load("openai", STTOptions(base_url=unused_url), fallback=False)
    async with ears.stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
        push(stream, samples("what_time"))
        with pytest.raises(APIError):
            _ = [event async for event in stream]
    await ears.aclose()


async def test_a_language_without_a_spare_still_has_its_engine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(Server(saying_what_time)) as url:
        ears = load("openai", STTOptions(base_url=url, language="de"))
        assert words(await hear(ears, "what_time")) == SENTENCES["what_time"]["text"]
        await ears.aclose()
    assert "no embedded STT stands behind" in caplog.text


async def test_a_key_for_openai_does_not_go_to_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai")
    server = Server(saying_what_time)
    async with serving(server) as url:
        ears = load("openai", STTOptions(base_url=url), fallback=False)
        await hear(ears, "what_time")
        await ears.aclose()
    assert server.heads
    assert "sk-for-openai" not in "".join(server.heads)


async def test_closing_an_engine_closes_its_connections() -> None:
    server = Server(saying_what_time, keeps_alive=True)
    async with serving(server) as url:
        ears = load("openai", STTOptions(base_url=url))
        await hear(ears, "what_time")
        assert not server.hung_up.is_set()
        await ears.aclose()
        await server.hung_up.wait()


def test_openai_without_a_key_or_a_server_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs an api_key"):
        load("openai", STTOptions())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("livekit_plugin:no_such_maker", "pip install livekit-plugins-no-such-maker"),
        ("livekit_plugin:silero", "has no STT"),
        ("livekit_plugin", "after a colon"),
        ("livekit_plugin:../os", "after a colon"),
    ],
)
def test_a_plugin_that_cannot_be_had_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load(name, STTOptions())
