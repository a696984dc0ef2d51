"""The speech process's HTTP server on a real socket, with models that a test holds up."""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Collection, Generator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError
from numpy.typing import NDArray

from agent.speech.process.client import SOCKET, SpeechClient
from agent.speech.process.models import Decoded, Word
from agent.speech.process.server import listen, serve

SECRET = "my card number is 4111"
AUDIO = np.zeros(1_600, np.int16)
_WITHIN = 20.0


def transcribe(samples: str, **fields: object) -> bytes:
    head = {"model": "held:1", "urgency": "final", "language": "en", "before": "", **fields}
    return json.dumps(head).encode() + b"\n" + samples.encode()


def speak(**fields: object) -> bytes:
    return json.dumps({"model": "held:1", "text": "hello", **fields}).encode()


class HeldModel:
    """A recogniser and a voice whose every step waits until the test lets one go on."""

    sample_rate = 1_000

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.closed = threading.Event()
        self._go_on = threading.Semaphore(0)
        self._changed = threading.Condition()

    def decode(
        self,
        samples: NDArray[np.int16],
        *,
        language: str,
        before: str,
        among: Collection[str] = (),
    ) -> Decoded:
        self._step(before)
        word = Word(text=before, start=0, end=1, probability=1)
        return Decoded(words=(word,), language=next(iter(among), ""))

    def speak(self, text: str, *, speed: float) -> Generator[bytes, None, None]:
        try:
            for number in range(3):
                self._step(f"{text}{number}")
                yield b"\0\1" * 500
        finally:
            self.closed.set()

    def _step(self, name: str) -> None:
        with self._changed:
            self.begun.append(name)
            self._changed.notify_all()
        assert self._go_on.acquire(timeout=_WITHIN)
        if name == "broken":
            raise RuntimeError(SECRET)

    def release(self, steps: int = 1) -> None:
        self._go_on.release(steps)

    async def wait_for(self, *begun: str) -> None:
        """Waits until exactly these steps have begun."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: len(self.begun) >= len(begun), _WITHIN)

        assert await asyncio.to_thread(wait)
        assert self.begun == [*begun]


@pytest.fixture
def model() -> HeldModel:
    return HeldModel()


@pytest.fixture
async def client(
    model: HeldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SpeechClient]:
    """A client of a server with one thread and places for two that wait."""
    monkeypatch.setenv(SOCKET, str(tmp_path / "socket"))
    listener = listen(tmp_path / "socket")
    serving = asyncio.create_task(serve({"held:1": model}, listener, threads=1, most_waiting=2))
    client = SpeechClient("held:1")
    yield client
    model.release(100)
    await client.aclose()
    serving.cancel()
    await asyncio.wait({serving})


async def until(client_count: Mapping[str, int]) -> None:
    """Waits until the server counts so many steps that run and that wait."""
    transport = httpx2.AsyncHTTPTransport(uds=os.environ[SOCKET])
    async with asyncio.timeout(_WITHIN), httpx2.AsyncClient(transport=transport) as http:
        while True:
            counts = (await http.get("http://speech/")).json()
            if {name: counts[name] for name in client_count} == client_count:
                return


async def post(path: str, body: bytes) -> tuple[int, str]:
    """Returns the status of the answer and its `error`."""
    transport = httpx2.AsyncHTTPTransport(uds=os.environ[SOCKET])
    async with httpx2.AsyncClient(transport=transport) as http:
        answer = await http.post(f"http://speech{path}", content=body)
        return answer.status_code, answer.json()["error"]


async def test_a_model_chooses_among_the_languages_of_a_call(
    client: SpeechClient, model: HeldModel
) -> None:
    model.release(2)
    assert (await client.transcribe(AUDIO, among=("de", "en"))).language == "de"
    assert not (await client.transcribe(AUDIO)).language


@asynccontextmanager
async def busy(client: SpeechClient, model: HeldModel) -> AsyncIterator["asyncio.Task[Decoded]"]:
    """Lets the only thread decode during the block, unless it is released earlier."""
    running = asyncio.create_task(client.transcribe(AUDIO, before="running", timeout=_WITHIN))
    await model.wait_for("running")
    yield running
    model.release(100)
    await asyncio.wait({running})


async def test_interim_words_are_refused_at_once_while_the_process_is_busy(
    client: SpeechClient, model: HeldModel
) -> None:
    async with busy(client, model):
        with pytest.raises(APIStatusError, match="busy") as refused:
            await client.transcribe(AUDIO, urgency="interim")
        assert refused.value.status_code == 503


async def test_a_first_sound_overtakes_words_that_wait(
    client: SpeechClient, model: HeldModel
) -> None:
    async with busy(client, model), asyncio.TaskGroup() as group:
        group.create_task(client.transcribe(AUDIO, before="words", timeout=_WITHIN))
        await until({"waiting": 1})
        group.create_task(collect(client, "sound"))
        await until({"waiting": 2})
        model.release(100)
    assert model.begun[:3] == ["running", "sound0", "words"]


async def collect(client: SpeechClient, text: str, silent_in: float = 0.0) -> list[bytes]:
    async with aclosing(client.speak(text, silent_in=silent_in, timeout=_WITHIN)) as sound:
        return [piece async for piece in sound]


async def test_more_work_than_may_wait_is_refused(client: SpeechClient, model: HeldModel) -> None:
    async with busy(client, model), asyncio.TaskGroup() as group:
        for name in ("a", "b"):
            group.create_task(client.transcribe(AUDIO, before=name, timeout=_WITHIN))
        await until({"waiting": 2})
        with pytest.raises(APIStatusError, match="too much to do") as refused:
            await collect(client, "c")
        assert refused.value.status_code == 503
        model.release(100)


async def test_a_later_clause_counts_as_the_rest_of_its_reply_which_is_never_refused(
    client: SpeechClient, model: HeldModel
) -> None:
    async with busy(client, model), asyncio.TaskGroup() as group:
        for name in ("a", "b"):
            group.create_task(client.transcribe(AUDIO, before=name, timeout=_WITHIN))
        await until({"waiting": 2})
        group.create_task(collect(client, "later", silent_in=90.0))
        await until({"waiting": 3})
        model.release(100)


async def test_a_request_that_is_cancelled_while_it_waits_never_runs(
    client: SpeechClient, model: HeldModel
) -> None:
    async with busy(client, model) as running:
        waiting = asyncio.create_task(client.transcribe(AUDIO, before="gone", timeout=_WITHIN))
        await until({"waiting": 1})
        waiting.cancel()
        await until({"waiting": 0})
        model.release()
        await running
        model.release()
        await client.transcribe(AUDIO, before="next", timeout=_WITHIN)
    assert model.begun == ["running", "next"]


async def test_a_request_that_takes_too_long_ends(client: SpeechClient, model: HeldModel) -> None:
    listener, speaker = (
        SpeechClient("held:1"),
        SpeechClient("held:1"),
    )  # each remembers a late answer
    async with busy(client, model):
        with pytest.raises(APITimeoutError, match="nothing in time"):
            await listener.transcribe(AUDIO, before="late", timeout=0.01)
        with pytest.raises(APITimeoutError, match="nothing in time"):
            async with aclosing(speaker.speak("late", timeout=0.01)) as sound:
                await anext(sound)
        await until({"waiting": 0})
    await listener.aclose()
    await speaker.aclose()


async def test_a_voice_that_is_closed_early_stops_at_its_next_piece(
    client: SpeechClient, model: HeldModel
) -> None:
    async with aclosing(client.speak("stop", timeout=_WITHIN)) as sound:
        model.release()
        assert await anext(sound)
        await model.wait_for("stop0", "stop1")
    for _ in range(3):  # by then the server has seen that the other connection has ended
        await until({"running": 1})
    model.release()
    await until({"running": 0, "waiting": 0})
    assert await asyncio.to_thread(model.closed.wait, _WITHIN)
    assert model.begun == ["stop0", "stop1"]


async def test_a_model_that_fails_is_reported_without_the_callers_words(
    client: SpeechClient, model: HeldModel
) -> None:
    model.release(2)
    with pytest.raises(APIStatusError, match=r"failed \(RuntimeError") as failed:
        await client.transcribe(AUDIO, before="broken")
    assert failed.value.status_code == 500
    assert SECRET not in str(failed.value)
    assert (await client.transcribe(AUDIO, before="whole")).words[0].text == "whole"


async def test_a_voice_that_fails_after_its_first_sound_breaks_off(
    client: SpeechClient, model: HeldModel
) -> None:
    model.sample_rate = 0  # the sum of what was spoken cannot be made
    model.release(3)
    with pytest.raises(APIError):
        await collect(client, "odd")
    assert await asyncio.to_thread(model.closed.wait, _WITHIN)


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/transcribe", b"", 400, "not JSON"),
        ("/transcribe", b"[1]\n\0\0", 400, "not a JSON object"),
        ("/transcribe", b"[" * 50_000 + b"\n\0\0", 400, "not JSON"),
        ("/transcribe", b'{"model": "held:1", "urgency": "now"}\n\0\0', 400, "urgency"),
        ("/transcribe", b'{"model": "held:1", "urgency": ["final"]}\n\0\0', 400, "urgency"),
        ("/transcribe", transcribe(""), 400, "16-bit samples"),
        ("/transcribe", transcribe("\0"), 400, "16-bit samples"),
        ("/transcribe", transcribe("\0" * 960_002), 400, "at most 30 s"),
        ("/transcribe", transcribe("\0" * 1_000_000), 413, "too large"),
        ("/transcribe", transcribe("\0\0", before="x" * 2_001), 400, "before"),
        ("/transcribe", transcribe("\0\0", among="de"), 400, "among"),
        ("/transcribe", transcribe("\0\0", among=["de"] * 21), 400, "at most 20 languages"),
        ("/transcribe", transcribe("\0\0", model="other:2"), 404, "not loaded, but held:1"),
        ("/speak", b"\xff", 400, "not JSON"),
        ("/speak", speak(text=3), 400, "text"),
        ("/speak", speak(text="x" * 2_001), 400, "2,000 characters"),
        ("/speak", speak(speed=100), 400, "speed"),
        ("/speak", speak(speed="fast"), 400, "speed"),
        ("/speak", speak(silent_in=-1), 400, "silent_in"),
        ("/speak", speak(silent_in=90), 400, "silent_in"),
        ("/speak", speak(silent_in="soon"), 400, "silent_in"),
        ("/speak", speak(model="other:2"), 404, "not loaded, but held:1"),
    ],
)
async def test_a_request_that_cannot_be_served_is_explained(
    client: SpeechClient, path: str, body: bytes, status: int, reason: str
) -> None:
    answered, error = await post(path, body)
    assert answered == status
    assert reason in error


async def test_a_client_that_sends_half_a_request_holds_up_no_other(
    client: SpeechClient, model: HeldModel
) -> None:
    _, writer = await asyncio.open_unix_connection(os.environ[SOCKET])
    writer.write(b"POST /speak HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
    await writer.drain()
    model.release()
    assert (await client.transcribe(AUDIO, before="whole")).words
    writer.close()
    await writer.wait_closed()


async def test_a_process_that_is_not_there_is_said_to_be_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SOCKET, str(tmp_path / "nothing"))
    client = SpeechClient("held:1")
    with pytest.raises(APIConnectionError, match="away"):
        await client.transcribe(AUDIO)
    with pytest.raises(APIConnectionError, match="away"):
        await collect(client, "hello")
    await client.aclose()
