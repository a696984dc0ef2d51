"""FaultyServer fails as its script says and counts correctly; users rely on it."""

import asyncio
import io
import json
import sys
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import repeat
from typing import Any

import httpx2
import pytest

from llm_router.testing.server import Behaviour, Fault, FaultyServer, Script
from llm_router.types import ToolCall

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello?"}], "stream": True}


@asynccontextmanager
async def serving(
    behaviour: Behaviour | None = None,
) -> AsyncIterator[tuple[FaultyServer, httpx2.AsyncClient]]:
    async with (
        FaultyServer(behaviour) as server,
        httpx2.AsyncClient(base_url=server.base_url, timeout=20) as client,
    ):
        yield server, client


async def ask(client: httpx2.AsyncClient, **fields: Any) -> httpx2.Response:
    return await client.post("/chat/completions", json={**ASKED, **fields})


def words(response: httpx2.Response) -> Sequence[str]:
    events = [line[6:] for line in response.text.split("\n") if line.startswith("data: {")]
    deltas = [choice["delta"] for e in events for choice in json.loads(e)["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


async def test_it_sends_its_words_and_counts_them() -> None:
    async with serving() as (server, client):
        response = await ask(client)
        assert words(response) == list(Script().words)
        assert response.text.endswith("data: [DONE]\n\n")
        assert server.words_sent == len(Script().words)


async def test_it_records_its_requests() -> None:
    async with serving() as (server, client):
        await ask(client, seed=1)
        request = await server.received(0)
    assert request.messages == ASKED["messages"]
    assert request.stream
    assert request.body["seed"] == 1
    assert request.headers["content-type"] == "application/json"


async def test_bytes_without_end_are_sent_until_the_client_leaves() -> None:
    async with serving(Script(raw=repeat(b": keep-alive\n\n" * 1000))) as (server, client):
        async with (
            client.stream("POST", "/chat/completions", json=ASKED) as response,
            aclosing(response.aiter_raw()) as pieces,
        ):
            received = 0
            async for piece in pieces:
                received += len(piece)
                if received > 1_000_000:
                    break
        async with asyncio.timeout(20):
            assert await server.disconnected(0) is not None


async def test_each_request_may_have_a_script_of_its_own() -> None:
    async with serving(lambda n: Script(words=[f"reply {n}"])) as (_, client):
        assert [words(await ask(client)) for _ in range(3)] == [[f"reply {n}"] for n in range(3)]


async def test_its_behaviour_changes_while_it_runs() -> None:
    async with serving() as (server, client):
        await server.behave(Script(fault=Fault.STATUS, status=429, retry_after="3"))
        response = await ask(client)
        assert (response.status_code, response.headers["retry-after"]) == (429, "3")
        await server.behave(Script(fault=Fault.REFUSE))
        async with httpx2.AsyncClient() as newcomer:
            with pytest.raises(httpx2.ConnectError):
                await newcomer.get(f"{server.base_url}/models")
        await server.behave(Script())
        assert (await ask(client)).status_code == 200


async def test_it_continues_words_only_if_its_script_says_so() -> None:
    messages = [*ASKED["messages"], {"role": "assistant", "content": "Hello th"}]
    async with serving(Script(continues=True)) as (server, client):
        assert words(await ask(client, messages=messages))[:2] == ["ere", ","]
        await server.behave(Script())
        assert words(await ask(client, messages=messages))[:2] == ["Hello", " there"]


async def test_a_client_without_a_stream_gets_one_object() -> None:
    script = Script(tool_calls=[ToolCall("c", "f", '{"x": 1}')])
    async with serving(script) as (_, client):
        choice = (await ask(client, stream=False)).json()["choices"][0]
    assert choice["message"]["content"] == "".join(script.words)
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1}'}
    assert choice["finish_reason"] == "tool_calls"


async def test_it_stops_generating_when_the_client_leaves() -> None:
    async with serving(Script(words=["word "] * 5000, gap=0.002)) as (server, client):
        async with client.stream("POST", "/chat/completions", json=ASKED) as response:
            await anext(response.aiter_raw())
        left_at = await server.disconnected(0)
        assert left_at is not None
        assert left_at >= server.requests[0].at
        assert server.words_sent < 5000


async def test_a_complete_reply_has_no_disconnect() -> None:
    async with serving() as (server, client):
        await ask(client)
        assert await server.disconnected(0) is None


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER, Fault.HALF_TOOL_CALL])
async def test_a_reset_by_the_server_has_no_disconnect(fault: Fault) -> None:
    async with serving(Script(fault=fault)) as (server, client):
        with pytest.raises(httpx2.TransportError):
            await ask(client)
        assert await server.disconnected(0) is None


async def test_an_unknown_path_is_not_found() -> None:
    async with serving() as (_, client):
        assert (await client.get("/embeddings")).status_code == 404


async def test_it_runs_as_a_program() -> None:
    program = [sys.executable, "-m", "llm_router.testing"]
    options = ["--words", "One two three", "--fault", "error", "--after", "2", "--one-in", "2"]
    options += ["--verbose"]
    process = await asyncio.create_subprocess_exec(*program, *options, stdout=-1)
    try:
        assert process.stdout is not None
        base_url = (await process.stdout.readline()).decode().strip()
        async with httpx2.AsyncClient(base_url=base_url, timeout=20) as client:
            assert words(await ask(client)) == ["One", " two", " three"]
            assert '"code": "overloaded"' in (await ask(client)).text
        assert await process.stdout.readline() == b"/v1/chat/completions\n"
    finally:
        process.terminate()
        await process.communicate()


async def test_it_speaks_a_tone_a_word_and_transcribes() -> None:
    async with serving() as (server, client):
        answers = [
            await client.post("/audio/speech", json={"input": "Two words", "response_format": form})
            for form in ("wav", "pcm")
        ]
        recording = {"file": ("a.wav", answers[0].content)}
        transcript = await client.post("/audio/transcriptions", files=recording)
        server.speech.status = 401
        assert (await client.post("/audio/speech", json={"input": "One"})).status_code == 401
        assert (await client.post("/audio/translations")).status_code == 404
    with wave.open(io.BytesIO(answers[0].content)) as wav:
        assert (wav.getframerate(), wav.getnframes()) == (24_000, 2 * 24_000 // 4)
        assert wav.readframes(wav.getnframes()) == answers[1].content
    assert max(answers[1].content) > 0
    assert server.speech.spoken == ["Two words", "Two words"]
    assert transcript.json() == {"text": "hello"}


async def test_its_help_names_every_fault() -> None:
    program = [sys.executable, "-m", "llm_router.testing", "--help"]
    process = await asyncio.create_subprocess_exec(*program, stdout=-1)
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert all(fault in output.decode() for fault in Fault)
