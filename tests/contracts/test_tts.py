"""What every TTS engine keeps to, and what happens when one is dead."""

import asyncio
import io
import json
import math
import socket
import struct
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, tts
from livekit.agents.metrics import TTSMetrics
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from agent.tts import load
from agent.tts.base import Engine, TTSOptions, as_stream
from agent.tts.embedded import EmbeddedTTS, create
from llm_router.errors import ConfigurationError, UnknownPluginError
from llm_router.plugins import Plugins

NAMES = [
    "livekit_plugin:openai" if name == "livekit_plugin" else name
    for name in Plugins("agent.tts", "TTS engine").names()
]
REPLY = "Sure. I can help with that. When would you like to come?"
BEEP_SECONDS = 0.5


def beep() -> bytes:
    """A WAV file at 22.05 kHz, which is not the rate that the plugin takes for granted."""
    rate = 22_050
    tone = (int(9000 * math.sin(k / 8)) for k in range(int(BEEP_SECONDS * rate)))
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, rate, 0, "NONE", ""))
        wav.writeframes(b"".join(struct.pack("<h", sample) for sample in tone))
    return file.getvalue()


BEEP = beep()
Answer = Callable[[asyncio.StreamWriter, str], Awaitable[None]]


def head(status: int, length: int) -> bytes:
    return b"HTTP/1.1 %d x\r\ncontent-type: audio/wav\r\ncontent-length: %d\r\n\r\n" % (
        status,
        length,
    )


async def beeping(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(head(200, len(BEEP)) + BEEP)


async def failing(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(head(500, 0))


async def hanging(writer: asyncio.StreamWriter, text: str) -> None:
    await asyncio.Event().wait()


async def failing_after_one(writer: asyncio.StreamWriter, text: str) -> None:
    await (beeping if text == "Sure." else failing)(writer, text)


class Server:
    """Answers each text as told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.hung_up = asyncio.Event()
        """A client has closed its connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            self.heads.append(request)
            length = int(request.split("content-length: ")[1].split("\r\n")[0])
            await self.answer(writer, json.loads(await reader.readexactly(length))["input"])


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


@pytest.fixture
async def options() -> AsyncIterator[TTSOptions]:
    async with serving(Server(beeping)) as url:
        yield TTSOptions(base_url=url, api_key="key")


@pytest.fixture
def unused_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


async def say(voice: Engine, text: str) -> list[rtc.AudioFrame]:
    async with voice.stream() as stream:
        stream.push_text(text)
        stream.end_input()
        return [audio.frame async for audio in stream]


def seconds(frames: list[rtc.AudioFrame]) -> float:
    return sum(frame.duration for frame in frames)


def sound(frames: list[rtc.AudioFrame]) -> bytes:
    return b"".join(bytes(frame.data) for frame in frames)


def speakers_of(voice: Engine) -> list[str]:
    """Fills with the engine that spoke each piece."""
    spoke: list[str] = []

    def note(metrics: TTSMetrics) -> None:
        spoke.append(metrics.label)

    voice.on("metrics_collected", note)
    return spoke


@pytest.mark.parametrize("name", NAMES)
async def test_an_engine_speaks_at_the_rate_it_states(name: str, options: TTSOptions) -> None:
    voice = load(name, options)
    frames = await say(voice, REPLY)
    await voice.aclose()
    assert {(frame.sample_rate, frame.num_channels) for frame in frames} == {
        (voice.sample_rate, voice.num_channels)
    }
    assert seconds(frames) > 1
    assert any(sound(frames))


@pytest.mark.parametrize("name", NAMES)
async def test_a_short_first_sentence_is_spoken_before_the_next_is_written(
    name: str, options: TTSOptions
) -> None:
    voice = load(name, options)
    assert voice.capabilities.streaming
    async with voice.stream() as stream:
        stream.push_text("Sure. ")
        first = await anext(stream)
        stream.push_text("I can help with that.")
        stream.end_input()
        rest = [audio.frame async for audio in stream]
    await voice.aclose()
    assert first.frame.duration > 0
    assert seconds(rest) > 0.5


@pytest.mark.parametrize("name", NAMES)
async def test_a_reply_cut_short_leaves_no_task(name: str, options: TTSOptions) -> None:
    before = tasks_of_the_client()
    voice = load(name, options)
    async with voice.stream() as stream:
        stream.push_text(REPLY)
        await anext(stream)
    await voice.aclose()
    assert tasks_of_the_client() == before


@pytest.mark.parametrize("name", NAMES)
async def test_each_sentence_is_counted_once(name: str, options: TTSOptions) -> None:
    voice = load(name, options)
    spoke = speakers_of(voice)
    await say(voice, REPLY)
    await voice.aclose()
    assert len(spoke) == 3


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownPluginError, match=r"'parrot'; known: embedded, .*openai"):
        load("parrot", TTSOptions())


# The embedded engine


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "pt", "nl", "pt-BR", "en-GB"])
async def test_the_embedded_engine_speaks_many_languages(language: str) -> None:
    assert seconds(await say(load("embedded", TTSOptions(language=language)), "Hallo 12")) > 0.5


async def test_a_language_has_a_voice_of_its_own() -> None:
    english, german = (load("embedded", TTSOptions(language=tag)) for tag in ("en", "de"))
    assert sound(await say(english, "Wind")) != sound(await say(german, "Wind"))


@pytest.mark.parametrize("options", [TTSOptions(language="xx"), TTSOptions(voice="ash")])
def test_a_voice_that_does_not_exist_is_refused(options: TTSOptions) -> None:
    with pytest.raises(ConfigurationError, match=f"no voice for '{options.voice or 'xx'}'"):
        load("embedded", options)


@pytest.mark.parametrize("text", ["…", "?!", "a\0b", "\ud800 well", "<speak>one</speak>"])
async def test_a_text_that_is_hard_to_say_is_no_error(text: str) -> None:
    assert seconds(await say(load("embedded", TTSOptions()), text)) > 0


async def test_clauses_said_one_by_one_last_as_long_as_the_whole() -> None:
    text = "Sure, I can help with that, of course. When do you come?"
    voice = load("embedded", TTSOptions())
    whole = [audio.frame async for audio in voice.synthesize(text)]
    assert seconds(await say(voice, text)) == pytest.approx(seconds(whole), abs=0.1)


async def test_voices_side_by_side_do_not_mix() -> None:
    """Told apart by the time they take, which is 0.1 s and more: espeak-ng's hiss is random."""
    voices = [load("embedded", TTSOptions(language=tag)) for tag in ("en", "de", "fr")]
    alone = [seconds(await say(voice, REPLY)) for voice in voices]
    together = await asyncio.gather(*(say(voice, REPLY) for voice in voices))
    assert [seconds(frames) for frames in together] == pytest.approx(alone, abs=0.05)


async def test_espeak_stops_when_nobody_listens() -> None:
    engine: EmbeddedTTS = create(TTSOptions())
    heard: list[bytes] = []

    def leave_after_one(samples: bytes) -> bool:
        heard.append(samples)
        return False

    def say_much() -> None:
        engine.espeak.say(REPLY * 100, engine.voice, leave_after_one)

    await asyncio.wrap_future(engine.espeak.thread.submit(say_much))
    assert len(heard) == 1
    assert seconds(await say(load("embedded", TTSOptions()), "Hello.")) > 0.3


# Engines behind a network


async def test_a_wav_is_played_at_its_own_rate(options: TTSOptions) -> None:
    voice = load("openai", options, fallback=False)
    frames = await say(voice, "Sure.")
    await voice.aclose()
    assert seconds(frames) == pytest.approx(BEEP_SECONDS, abs=0.03)


@pytest.mark.timeout(20)  # the plugin by itself waits 30 s for a sound
@pytest.mark.parametrize("answer", [failing, hanging])
async def test_the_embedded_engine_speaks_for_one_that_does_not(answer: Answer) -> None:
    async with serving(Server(answer)) as url:
        voice = load("openai", TTSOptions(base_url=url, timeout=0.2))
        spoke = speakers_of(voice)
        frames = await say(voice, REPLY)
        await voice.aclose()
    assert seconds(frames) > 2
    assert spoke == ["agent.tts.embedded.EmbeddedTTS"] * 3


async def test_the_embedded_engine_speaks_for_a_refused_connection(unused_url: str) -> None:
    voice = load("openai", TTSOptions(base_url=unused_url, voice="ash"))
    frames = await say(voice, REPLY)
    await voice.aclose()
    assert seconds(frames) > 2


async def test_a_reply_is_finished_when_its_engine_dies_after_the_first_sentence() -> None:
    async with serving(Server(failing_after_one)) as url:
        voice = load("openai", TTSOptions(base_url=url))
        spoke = speakers_of(voice)
        frames = await say(voice, REPLY)
        await voice.aclose()
    assert [label.rsplit(".", 1)[1] for label in spoke] == [
        "_OwnedTTS",
        "EmbeddedTTS",
        "EmbeddedTTS",
    ]
    assert seconds(frames) > BEEP_SECONDS + 2


class Broken(tts.TTS[Any]):
    """A streaming service that closes each connection at once."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True), sample_rate=24_000, num_channels=1
        )

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        return BrokenStream(tts=self, conn_options=conn_options)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        raise APIConnectionError


class BrokenStream(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        raise APIConnectionError


async def test_a_reply_that_a_stream_breaks_is_spoken_by_the_embedded_engine() -> None:
    before = tasks_of_the_client()
    voice = as_stream(Broken(), create(TTSOptions()), timeout=1)
    frames = await say(voice, REPLY)
    await voice.aclose()
    assert {frame.sample_rate for frame in frames} == {24_000}
    assert seconds(frames) > 2
    assert tasks_of_the_client() == before


async def test_without_a_fallback_a_dead_service_is_an_error(unused_url: str) -> None:
    voice = load("openai", TTSOptions(base_url=unused_url), fallback=False)
    async with voice.stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
        stream.push_text(REPLY)
        stream.end_input()
        with pytest.raises(APIError):
            await anext(stream)
    await voice.aclose()


async def test_a_language_without_a_spare_still_has_its_engine(
    options: TTSOptions, caplog: pytest.LogCaptureFixture
) -> None:
    voice = load("openai", TTSOptions(base_url=options.base_url, language="xx"))
    assert seconds(await say(voice, REPLY)) > 1
    await voice.aclose()
    assert "no embedded TTS stands behind" in caplog.text


async def test_a_key_for_openai_does_not_go_to_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai")
    server = Server(beeping)
    async with serving(server) as url:
        voice = load("openai", TTSOptions(base_url=url), fallback=False)
        await say(voice, REPLY)
        await voice.aclose()
    assert server.heads
    assert "sk-for-openai" not in "".join(server.heads)


async def test_closing_an_engine_closes_its_connections() -> None:
    server = Server(beeping)
    async with serving(server) as url:
        voice = load("openai", TTSOptions(base_url=url))
        await say(voice, REPLY)
        assert not server.hung_up.is_set()
        await voice.aclose()
        await server.hung_up.wait()


def test_openai_without_a_key_or_a_server_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs an api_key"):
        load("openai", TTSOptions())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("livekit_plugin:no_such_maker", "pip install livekit-plugins-no-such-maker"),
        ("livekit_plugin:silero", "has no TTS"),
        ("livekit_plugin", "after a colon"),
        ("livekit_plugin:../os", "after a colon"),
    ],
)
def test_a_plugin_that_cannot_be_had_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load(name, TTSOptions())
