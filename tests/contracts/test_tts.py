"""Tests what every TTS engine promises, and the fallback for a dead one."""

import asyncio
import io
import json
import math
import struct
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, tts
from livekit.agents.metrics import TTSMetrics
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from agent.speech.tts import TTSEngine, TTSOptions, as_stream, speaks_here
from agent.speech.voices import Voices
from agent.tts import ENGINES, load
from agent.tts.embedded import create
from llm_router.errors import ConfigurationError, UnknownPluginError
from tests.contracts.speech_server import SpeechServer, client_tasks, serving
from tests.contracts.tts_replies import REPLY, seconds, sound, synthesize
from tests.tiny_kokoro import write_kokoro
from tests.tiny_voice import write_voice

NAMES = ["livekit_plugin:openai" if name == "livekit_plugin" else name for name in ENGINES.names()]
BEEP_SECONDS = 0.5


def beep() -> bytes:
    """Makes a WAV file at 22.05 kHz, which is not the rate that the plugin assumes."""
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


class Server(SpeechServer):
    """Answers each text with `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(keeps_alive=True)
        self.answer = answer

    async def respond(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        await self.answer(writer, json.loads(body)["input"])


@pytest.fixture
async def options(tmp_path: Path) -> AsyncIterator[TTSOptions]:
    write_voice(tmp_path / "piper")
    write_kokoro(tmp_path / "kokoro", "af_tiny")
    async with serving(Server(beeping)) as url:
        yield TTSOptions(base_url=url, api_key="key", models_folder=tmp_path)


def speakers_of(engine: TTSEngine) -> list[str]:
    """Returns a list that fills with the label of the engine that spoke each piece."""
    spoke: list[str] = []

    def note(metrics: TTSMetrics) -> None:
        spoke.append(metrics.label)

    engine.on("metrics_collected", note)
    return spoke


@pytest.mark.parametrize("name", NAMES)
async def test_an_engine_speaks_at_the_rate_it_states(name: str, options: TTSOptions) -> None:
    engine = load(name, options)
    frames = await synthesize(engine, REPLY)
    await engine.aclose()
    assert {(frame.sample_rate, frame.num_channels) for frame in frames} == {
        (engine.sample_rate, engine.num_channels)
    }
    assert seconds(frames) > 1
    assert any(sound(frames))


@pytest.mark.parametrize("name", NAMES)
async def test_a_short_first_sentence_is_spoken_before_the_next_is_written(
    name: str, options: TTSOptions
) -> None:
    engine = load(name, options)
    assert engine.capabilities.streaming
    async with engine.stream() as stream:
        stream.push_text("Sure. ")
        first = await anext(stream)
        stream.push_text("I can help with that.")
        stream.end_input()
        rest = [audio.frame async for audio in stream]
    await engine.aclose()
    assert first.frame.duration > 0
    assert seconds(rest) > 0.5


@pytest.mark.parametrize("name", NAMES)
async def test_a_reply_cut_short_leaves_no_task(name: str, options: TTSOptions) -> None:
    before = client_tasks()
    engine = load(name, options)
    async with engine.stream() as stream:
        stream.push_text(REPLY)
        await anext(stream)
    await engine.aclose()
    if left := client_tasks() - before:  # LiveKit cancels some of its tasks and does not wait
        await asyncio.wait(left, timeout=5)
    assert client_tasks() == before


@pytest.mark.parametrize("name", NAMES)
async def test_each_sentence_is_counted_once(name: str, options: TTSOptions) -> None:
    engine = load(name, options)
    spoke = speakers_of(engine)
    await synthesize(engine, REPLY)
    await engine.aclose()
    assert len(spoke) == 3


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownPluginError, match=r"'parrot'; known: embedded, .*openai"):
        load("parrot", TTSOptions())


# Engines behind a network


@pytest.mark.parametrize(("name", "here"), [("embedded", True), ("openai", False)])
async def test_only_a_voice_of_this_machine_costs_nothing(
    options: TTSOptions, name: str, here: bool
) -> None:
    engine = load(name, options)
    assert speaks_here(engine) is speaks_here(Voices("en", engine)) is here
    await engine.aclose()


async def test_a_wav_is_played_at_its_own_rate(options: TTSOptions) -> None:
    engine = load("openai", options, fallback=False)
    frames = await synthesize(engine, "Sure.")
    await engine.aclose()
    assert seconds(frames) == pytest.approx(BEEP_SECONDS, abs=0.03)


@pytest.mark.timeout(20)  # by itself the plugin waits 30 s for audio
@pytest.mark.parametrize("answer", [failing, hanging])
async def test_the_embedded_engine_speaks_for_an_engine_that_fails(answer: Answer) -> None:
    async with serving(Server(answer)) as url:
        engine = load("openai", TTSOptions(base_url=url, timeout=0.2))
        spoke = speakers_of(engine)
        frames = await synthesize(engine, REPLY)
        await engine.aclose()
    assert seconds(frames) > 2
    assert spoke == ["agent.tts.embedded.EmbeddedTTS"] * 3


async def test_the_embedded_engine_speaks_for_a_refused_connection(unused_url: str) -> None:
    engine = load("openai", TTSOptions(base_url=unused_url, voice="ash"))
    frames = await synthesize(engine, REPLY)
    await engine.aclose()
    assert seconds(frames) > 2


async def test_a_reply_is_finished_when_its_engine_dies_after_the_first_sentence() -> None:
    async with serving(Server(failing_after_one)) as url:
        engine = load("openai", TTSOptions(base_url=url))
        spoke = speakers_of(engine)
        frames = await synthesize(engine, REPLY)
        await engine.aclose()
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
    before = client_tasks()
    engine = as_stream(Broken(), create(TTSOptions()), timeout=1)
    frames = await synthesize(engine, REPLY)
    await engine.aclose()
    assert {frame.sample_rate for frame in frames} == {24_000}
    assert seconds(frames) > 2
    assert client_tasks() == before


async def test_without_a_fallback_a_dead_service_is_an_error(unused_url: str) -> None:
    engine = load("openai", TTSOptions(base_url=unused_url), fallback=False)
    async with engine.stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
        stream.push_text(REPLY)
        stream.end_input()
        with pytest.raises(APIError):
            await anext(stream)
    await engine.aclose()


async def test_a_language_without_a_spare_still_has_its_engine(
    options: TTSOptions, caplog: pytest.LogCaptureFixture
) -> None:
    engine = load("openai", TTSOptions(base_url=options.base_url, language="xx"))
    assert seconds(await synthesize(engine, REPLY)) > 1
    await engine.aclose()
    assert "the TTS engine has no embedded one as its fallback" in caplog.text


async def test_a_key_for_openai_does_not_go_to_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai")
    server = Server(beeping)
    async with serving(server) as url:
        engine = load("openai", TTSOptions(base_url=url), fallback=False)
        await synthesize(engine, REPLY)
        await engine.aclose()
    assert server.heads
    assert "sk-for-openai" not in "".join(server.heads)


async def test_closing_an_engine_closes_its_connections() -> None:
    server = Server(beeping)
    async with serving(server) as url:
        engine = load("openai", TTSOptions(base_url=url))
        await synthesize(engine, REPLY)
        assert not server.hung_up.is_set()
        await engine.aclose()
        await server.hung_up.wait()


def test_openai_without_a_key_or_a_server_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs TTS_API_KEY, or TTS_BASE_URL"):
        load("openai", TTSOptions())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("livekit_plugin:no_such_maker", "EXTRAS=no_such_maker make setup"),
        ("livekit_plugin:silero", "has no TTS"),
        ("livekit_plugin", "after a colon"),
        ("livekit_plugin:../os", "after a colon"),
    ],
)
def test_a_plugin_that_cannot_be_had_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load(name, TTSOptions())


def test_a_plugin_that_refuses_to_start_gives_its_own_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY.*; TTS_API_KEY is its key here"):
        load("livekit_plugin:openai", TTSOptions())
