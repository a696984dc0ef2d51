"""A speech process, with a scripted voice and recogniser, as engines use it."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from livekit.agents import APIConnectionError, APIStatusError
from numpy.typing import NDArray

from agent import tts
from agent.speech.process.client import SOCKET, SpeechClient
from agent.speech.process.models.scripted import SECONDS_PER_WORD
from agent.speech.process.supervisor import worker_speech
from agent.speech.tts import TTSEngine, TTSOptions, as_stream
from agent.speech.voice import ProcessTTS
from llm_router.clock import SystemClock

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
    with pytest.raises(APIConnectionError, match="'nonsense' is neither"):
        await client.start()
    await client.aclose()


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


async def test_the_spare_voice_speaks_while_a_killed_process_is_away_and_then_it_is_back(
    tmp_path: Path, back: asyncio.Event
) -> None:
    async with worker_speech([VOICE], tmp_path, SystemClock()) as supervisor:
        assert supervisor
        await supervisor.tried()
        voice = ProcessTTS(
            VOICE, name="tones", provider="scripted", language="en", sample_rate=16_000, speed=1.0
        )
        spare = tts.ENGINES.load("embedded")(TTSOptions(is_spare=True))
        engine = as_stream(voice, spare, timeout=3)
        tones = await spoken(engine)
        assert tones == pytest.approx(0.4, abs=0.05)
        os.kill(await pid(), signal.SIGKILL)
        assert await spoken(engine) > 2 * tones
        await back.wait()
        # LiveKit tries an engine that failed beside the next text, and uses it from then on.
        while await spoken(engine) > 2 * tones:
            pass
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
