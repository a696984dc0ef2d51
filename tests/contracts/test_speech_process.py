"""A speech process, with a scripted voice and recogniser, as engines use it."""

import asyncio
import logging
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from livekit.agents import APIError, APIStatusError
from numpy.typing import NDArray

from agent import tts
from agent.speech.process.child import SpeechProcess
from agent.speech.process.client import (
    SOCKET,
    SpeechAwayError,
    SpeechClient,
    SpeechLateError,
)
from agent.speech.process.models.scripted import SECONDS_PER_WORD
from agent.speech.process.supervisor import worker_speech
from agent.speech.tts import TTSEngine, TTSOptions, as_stream
from agent.speech.voice import ProcessTTS, ReplySound
from llm_router.clock import SystemClock, checkpoint

RECOGNISER = "scripted:hears what are your opening hours"
VOICE = "scripted:voice"


def audio(words: int) -> NDArray[np.int16]:
    return np.zeros(int(words * SECONDS_PER_WORD * 16_000), np.int16)


@pytest.fixture
async def recogniser() -> AsyncIterator[SpeechClient]:
    client = SpeechClient(RECOGNISER)
    yield client
    await client.aclose()


async def test_words_come_with_their_times(recogniser: SpeechClient) -> None:
    decoded = await recogniser.transcribe(audio(2), urgency="interim")
    assert [(word.text, word.start, word.end) for word in decoded.words] == [
        ("what", 0.0, 0.5),
        ("are", 0.5, 1.0),
    ]
    assert decoded.no_speech == 0.0


async def test_a_model_that_does_not_load_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged = "scripted:damaged"
    process = await SpeechProcess.start(tmp_path / "socket", [RECOGNISER, damaged])
    monkeypatch.setenv(SOCKET, str(tmp_path / "socket"))
    clients = SpeechClient(RECOGNISER), SpeechClient(damaged)
    try:
        assert (await clients[0].transcribe(audio(1))).words
        with pytest.raises(APIStatusError, match="'damaged' is neither 'voice'"):
            await clients[1].transcribe(audio(1))
    finally:
        for client in clients:
            await client.aclose()
        await process.aclose()


async def test_words_before_the_audio_reach_the_recogniser(recogniser: SpeechClient) -> None:
    decoded = await recogniser.transcribe(audio(1), before="what are")
    assert [word.text for word in decoded.words] == ["your"]


async def test_more_audio_than_30_s_is_refused(recogniser: SpeechClient) -> None:
    with pytest.raises(APIStatusError, match="too large") as refused:
        await recogniser.transcribe(np.zeros(31 * 16_000, np.int16))
    assert refused.value.status_code == 413


async def test_sound_comes_in_pieces() -> None:
    client = SpeechClient(VOICE)
    async with aclosing(client.speak("We open at nine.", speed=2.0)) as sound:
        pieces = [piece async for piece in sound]
    await client.aclose()
    assert sum(map(len, pieces)) == 4 * 0.05 * 16_000 * 2


async def test_a_model_that_does_not_load_is_named_in_one_sentence() -> None:
    client = SpeechClient("scripted:nonsense")
    with pytest.raises(SpeechAwayError, match="'nonsense' is neither"):
        await client.start()
    await client.aclose()


async def test_a_process_that_does_not_start_prints_its_reason_alone(tmp_path: Path) -> None:
    pipe: Any = asyncio.subprocess.PIPE
    module = [sys.executable, "-m", "agent.speech.process", "--socket", str(tmp_path / "socket")]
    process = await asyncio.create_subprocess_exec(
        *module, "scripted:nonsense", stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    printed = await process.stdout.read()
    errors = await process.stderr.read()
    status = await process.wait()  # its standard input is still open
    process.stdin.close()
    assert b"'nonsense' is neither" in printed
    assert (status, errors) == (1, b"")


async def test_a_process_that_cannot_be_started_at_all_is_an_error_for_the_fallback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    client = SpeechClient(VOICE)
    with pytest.raises(SpeechAwayError, match=r"does not start: .*No such file"):
        await client.start()
    await client.aclose()


def entries(folder: Path) -> list[Path]:
    return [*folder.iterdir()]


async def test_a_client_closed_while_its_process_starts_leaves_none_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = SpeechClient(VOICE)
    starting = asyncio.create_task(client.start())
    while not entries(tmp_path):
        await checkpoint()
    await client.aclose()
    assert not entries(tmp_path)
    await starting
    with pytest.raises(SpeechAwayError, match="closed"):
        await client.start()
    assert not entries(tmp_path)


async def test_a_lone_surrogate_in_a_text_is_no_error() -> None:
    client = SpeechClient(VOICE)
    async with aclosing(client.speak("well \ud800")) as sound:
        assert [piece async for piece in sound]
    await client.aclose()


async def test_a_lone_surrogate_before_the_audio_is_no_error(recogniser: SpeechClient) -> None:
    decoded = await recogniser.transcribe(audio(1), before="what \ud800")
    assert [word.text for word in decoded.words] == ["are"]


async def test_a_process_that_hangs_costs_one_wait_and_is_used_again_once_it_answers(
    tmp_path: Path,
) -> None:
    async with worker_speech([VOICE], tmp_path, SystemClock()) as supervisor:
        assert supervisor
        await supervisor.tried()
        client = SpeechClient(VOICE)
        await sound_of(client, first=3.0)
        process = await pid()
        os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(SpeechLateError):
                await sound_of(client, first=0.1)
            with pytest.raises(SpeechAwayError, match="gives no answers"):
                await sound_of(client, first=60.0)
        finally:
            os.kill(process, signal.SIGCONT)
        while True:
            try:
                await sound_of(client, first=3.0)
                break
            except (SpeechAwayError, SpeechLateError):  # a busy machine may be late once more
                await checkpoint()  # it is checked at most once a second
        await client.aclose()


async def sound_of(client: SpeechClient, *, first: float) -> None:
    """Speaks four words; a piece may take a minute, but the first one `first` seconds."""
    sound = client.speak("We open at nine.", first=first, timeout=60.0)
    async with aclosing(sound) as pieces:
        assert [piece async for piece in pieces]


async def test_an_answer_that_is_no_json_is_an_error_for_the_fallback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{"w')
        await writer.drain()
        writer.close()

    monkeypatch.setenv(SOCKET, str(tmp_path / "socket"))
    async with await asyncio.start_unix_server(answer, tmp_path / "socket"):
        client = SpeechClient(RECOGNISER)
        with pytest.raises(APIError, match="cannot be read"):
            await client.transcribe(audio(1))
        await client.aclose()


async def test_a_check_is_answered_by_a_process_that_runs_and_by_no_other(tmp_path: Path) -> None:
    process = await SpeechProcess.start(tmp_path / "socket", [VOICE])
    assert await process.answers()
    await process.aclose()
    assert not await process.answers()


async def pid() -> int:
    """Returns the process's number, as it says itself."""
    transport = httpx2.AsyncHTTPTransport(uds=os.environ[SOCKET])
    async with httpx2.AsyncClient(transport=transport) as http:
        return int((await http.get("http://speech/")).json()["pid"])


async def ended(process: int) -> None:
    """Waits until the process has ended, which may be any of this machine."""
    watched = os.pidfd_open(process)
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(watched, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)


class Returned(logging.Handler):
    """Notes that the log says that the speech process is back."""

    def __init__(self) -> None:
        super().__init__()
        self.event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "the speech process is back":
            self.event.set()


@pytest.fixture
def back(caplog: pytest.LogCaptureFixture) -> Iterator[asyncio.Event]:
    """An event that is set when the log says that the speech process is back."""
    caplog.set_level(logging.INFO, "llm_router")
    returned = Returned()
    logging.getLogger("llm_router").addHandler(returned)
    yield returned.event
    logging.getLogger("llm_router").removeHandler(returned)


async def spoken(engine: TTSEngine) -> float:
    """Lets the engine speak four words; returns the length of the sound (s)."""
    async with engine.stream() as stream:
        stream.push_text("We open at nine.")
        stream.end_input()
        return sum([audio.frame.duration async for audio in stream])


class AheadClient(SpeechClient):
    """Notes for each text whether it may wait for more urgent work."""

    def __init__(self) -> None:
        super().__init__(VOICE)
        self.may_wait: list[tuple[str, bool]] = []

    def speak(
        self, text: str, *, silent_in: float = 0.0, **options: float
    ) -> AsyncGenerator[bytes, None]:
        self.may_wait.append((text, silent_in > 0))
        return super().speak(text, silent_in=silent_in, **options)


async def test_only_the_first_clause_of_each_reply_is_urgent() -> None:
    voice = ProcessTTS(
        VOICE, name="tones", provider="scripted", language="en", sample_rate=16_000, speed=1.0
    )
    voice.client = client = AheadClient()
    engine = as_stream(voice, None, timeout=30)
    for reply in ("We open at nine, every single day.", "Good bye."):
        async with engine.stream() as stream:
            stream.push_text(reply)
            stream.end_input()
            assert [audio async for audio in stream]
    await engine.aclose()
    assert client.may_wait == [
        ("We open at nine,", False),
        ("every single day.", True),
        ("Good bye.", False),
    ]


class LateClient(SpeechClient):
    """Is late with the first text. `texts`: all that it is asked to speak."""

    def __init__(self) -> None:
        super().__init__(VOICE)
        self.texts: list[str] = []

    async def speak(self, text: str, **options: float) -> AsyncGenerator[bytes, None]:
        self.texts.append(text)
        if len(self.texts) == 1:
            raise SpeechLateError("late")
        async with aclosing(super().speak(text, **options)) as pieces:
            async for piece in pieces:
                yield piece


async def test_a_voice_that_was_late_once_is_asked_for_the_next_text_and_for_none_twice() -> None:
    voice = ProcessTTS(
        VOICE, name="tones", provider="scripted", language="en", sample_rate=16_000, speed=1.0,
        patience=30.0,
    )  # fmt: skip
    voice.client = client = LateClient()
    spare = tts.ENGINES.load("embedded")(TTSOptions(is_spare=True))
    engine = as_stream(voice, spare, timeout=30)
    late, next_one = await spoken(engine), await spoken(engine)
    await engine.aclose()
    assert next_one == pytest.approx(0.4, abs=0.05)
    assert late > 2 * next_one
    assert client.texts == ["We open at nine."] * 2


class BusyClient(SpeechClient):
    """Is late with the first text. `waits`: seconds for the first piece of each text."""

    def __init__(self) -> None:
        super().__init__(VOICE)
        self.waits: list[float] = []

    async def speak(
        self, text: str, *, first: float = 0.0, **options: float
    ) -> AsyncGenerator[bytes, None]:
        self.waits.append(first)
        if len(self.waits) == 1:
            raise SpeechLateError("late")
        yield bytes(3_200)


@pytest.mark.parametrize(
    ("texts", "patience", "waits"),
    [
        # The later text of the same reply waits while the sound of the spare plays.
        (["We open at nine in the morning and close at six, every single day."], 0.0, [1.0, 1.0]),
        (["Good bye."] * 2, 0.0, [1.0, 1.0]),
        (["Good bye."] * 3, 15.0, [15.0, 4.5, 15.0]),
    ],
)
async def test_a_voice_that_was_late_has_its_usual_time_again_but_a_slow_one_less_until_it_speaks(
    texts: list[str], patience: float, waits: list[float]
) -> None:
    voice = ProcessTTS(
        VOICE, name="tones", provider="scripted", language="en", sample_rate=16_000, speed=1.0,
        patience=patience,
    )  # fmt: skip
    voice.client = client = BusyClient()
    engine = as_stream(voice, tts.ENGINES.load("embedded")(TTSOptions(is_spare=True)), timeout=3)
    for reply in texts:
        async with engine.stream() as stream:
            stream.push_text(reply)
            stream.end_input()
            assert [audio async for audio in stream]
    await engine.aclose()
    assert client.waits == pytest.approx(waits, abs=0.6)


class BreakingClient(AheadClient):
    """Breaks off in the middle of every text but the first."""

    async def speak(self, text: str, **options: float) -> AsyncGenerator[bytes, None]:
        left = 16_000 * 2 // 5 if self.may_wait else 10**9
        async with aclosing(super().speak(text, **options)) as pieces:
            async for piece in pieces:
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    raise SpeechAwayError("died")


async def test_a_spare_voice_speaks_the_rest_of_a_text_that_breaks_off() -> None:
    voice, spare = (
        ProcessTTS(
            VOICE,
            name=name,
            provider="scripted",
            language="en",
            sample_rate=rate,
            speed=1.0,
            patience=30.0,
        )
        for name, rate in (("tones", 16_000), ("spare", 8_000))
    )
    voice.client, spare.client = BreakingClient(), AheadClient()
    client = spare.client
    engine = as_stream(voice, spare, timeout=30)
    assert await spoken(engine) == pytest.approx(0.4, abs=0.05)
    assert await spoken(engine) == pytest.approx(0.2 + 2 * 0.2, abs=0.1)
    await engine.aclose()
    assert [text for text, _ in client.may_wait] == ["at nine."]


def test_the_sound_of_a_reply_that_was_made_late_plays_from_then_on() -> None:
    reply = ReplySound()
    reply.add(1.0, now=5.0)
    reply.add(0.5, now=5.1)
    assert reply.left(5.5) == pytest.approx(1.0)
    assert reply.left(7.0) == 0.0
    reply.add(0.5, now=8.0)
    assert reply.left(8.0) == pytest.approx(0.5)


async def test_the_spare_voice_speaks_while_a_killed_process_is_away_and_then_it_is_back(
    tmp_path: Path, back: asyncio.Event
) -> None:
    async with worker_speech([VOICE], tmp_path, SystemClock()) as supervisor:
        assert supervisor
        await supervisor.tried()
        voice = ProcessTTS(
            VOICE,
            name="tones",
            provider="scripted",
            language="en",
            sample_rate=16_000,
            speed=1.0,
            patience=30.0,
        )
        spare = tts.ENGINES.load("embedded")(TTSOptions(is_spare=True))
        engine = as_stream(voice, spare, timeout=3)
        tones = await spoken(engine)
        assert tones == pytest.approx(0.4, abs=0.05)
        os.kill(await pid(), signal.SIGKILL)
        assert await spoken(engine) > 2 * tones
        await back.wait()
        while await spoken(engine) > 2 * tones:
            pass  # on a busy machine it may be late once more
        last = await pid()
        await engine.aclose()
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)


async def test_a_process_of_its_own_ends_with_a_parent_that_is_killed() -> None:
    code = (
        "import asyncio\n"
        "from agent.speech.process.client import SpeechClient\n"
        "async def main():\n"
        f"    client = SpeechClient({VOICE!r})\n"
        "    await client.start()\n"
        "    answer = await client._http.get('/')\n"
        "    print(answer.json()['pid'], flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    pipe: Any = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=pipe)
    assert parent.stdout
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.communicate()
    try:
        await ended(child)
    except ProcessLookupError:
        """It had ended already."""
