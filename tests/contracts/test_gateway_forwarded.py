"""Tests embeddings, speech and transcriptions below /v1, over real sockets to model servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from llm_router.connections.access import SYSTEM
from llm_router.connections.store import Query
from llm_router.gateway.forwarded.response import shown_type
from llm_router.providers._wire.forwarded import counted_in
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import Usage
from tests.contracts.databases import Files
from tests.contracts.gateway import STRANGER, Gateway, gateway_on, openai_error
from tests.contracts.threads import api_on_a_socket

LOCAL = ("127.0.0.0/8",)
EMBEDDINGS, SPEECH, WORDS = "/v1/embeddings", "/v1/audio/speech", "/v1/audio/transcriptions"
PATHS = ("/embeddings", "/audio/speech", "/audio/transcriptions")
VECTORS = {
    "object": "list",
    "model": "theirs",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}
ANSWER = Script(raw=[json.dumps(VECTORS).encode()], content_type="application/json")
SOUND = [b"RIFF", b"one", b"two", b"three"]
SPEAKS = Script(raw=SOUND, content_type="audio/wav")
HEARS = Script(raw=[b'{"text": "hello"}'], content_type="application/json")
ASKED: dict[str, Any] = {"model": "auto", "input": "When do you open?"}
SAY: dict[str, Any] = {"model": "auto", "input": "We open at nine.", "voice": "alloy"}


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
        yield gateway


@asynccontextmanager
async def servers(gateway: Gateway, serves: str, *scripts: Script, **fields: Any) -> Any:
    """Runs a model server for each script, behind connections in the order of their priority."""
    async with AsyncExitStack() as stack:
        running = []
        for place, script in enumerate(scripts):
            server = await stack.enter_async_context(FaultyServer(script, chat_paths=PATHS))
            running.append(server)
            row = {"name": f"c{place}", "priority": place, "serves": serves, **fields}
            await gateway.connection(base_url=server.base_url, **row)
            fields.pop("timeout", None)  # of the first alone
        yield running


async def usage(gateway: Gateway, name: str) -> list[dict[str, Any]]:
    """Returns the usage of the connection, once all of it is written."""
    await gateway.services.chat_router.aclose()
    found = (await gateway.store.find(SYSTEM, Query())).items
    [connection_id] = [one.id for one in found if one.name == name]
    answer = await gateway.call("editor", "GET", f"/connections/{connection_id}/usage")
    latest: list[dict[str, Any]] = answer.json()["latest"]
    return latest


async def test_embeddings_come_as_the_server_gives_them_and_count_as_use(gateway: Gateway) -> None:
    async with servers(gateway, "embeddings", ANSWER, api_key="sk-0123456789-wxyz") as [server]:
        asked = {**ASKED, "dimensions": 2, "user": "ann", "api_base": "http://evil"}
        answer = await gateway.call("editor", "POST", EMBEDDINGS, asked)
        assert answer.json() == VECTORS
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-patchbay-connection"] == "c0"
        assert answer.headers["x-patchbay-attempts"] == "1"
        [sent] = server.requests
        assert sent.body == {"model": "m", "input": ASKED["input"], "dimensions": 2, "user": "ann"}
        assert sent.headers["authorization"] == "Bearer sk-0123456789-wxyz"
        [used] = await usage(gateway, "c0")
        keys, _ = await gateway.services.keys.find(SYSTEM)
        [counted] = [key.used_this_month.tokens for key in keys if key.name == "editor"]
        assert counted == used["tokens_in"] + used["tokens_out"] > 0
        assert (used["tokens_in"], used["outcome"], used["integration"]) == (7, "won", "automation")


@pytest.mark.parametrize("path", [EMBEDDINGS, SPEECH])
@pytest.mark.parametrize(
    "broken",
    [
        Script(fault=Fault.STATUS, status=503),
        Script(fault=Fault.STATUS, status=401),
        Script(fault=Fault.REFUSE),
        Script(fault=Fault.HANG_BEFORE_HEADERS),
        Script(raw=[], fault=Fault.STALL_AFTER),
        Script(raw=[], fault=Fault.RESET_AFTER),
        Script(raw=[]),
    ],
    ids=["overloaded", "wrong key", "refused", "hangs", "only a head", "reset", "empty"],
)
async def test_a_server_that_fails_before_its_first_byte_is_replaced(
    gateway: Gateway, path: str, broken: Script
) -> None:
    serves, asked = ("embeddings", ASKED) if path == EMBEDDINGS else ("speech", SAY)
    async with servers(gateway, serves, broken, ANSWER, timeout=0.5) as [_, well]:
        answer = await gateway.call("editor", "POST", path, asked)
        assert (answer.status_code, answer.content) == (200, json.dumps(VECTORS).encode())
        assert answer.headers["x-patchbay-connection"] == "c1"
        assert answer.headers["x-patchbay-attempts"] == "2"
        assert len(well.requests) == 1
        [failed] = await usage(gateway, "c0")
        assert failed["outcome"] not in {"won", "cancelled"}


async def test_vectors_of_another_model_are_never_a_replacement(gateway: Gateway) -> None:
    broken = Script(fault=Fault.STATUS, status=503)
    async with (
        servers(gateway, "embeddings", broken, model_name="small"),
        FaultyServer(ANSWER, chat_paths=PATHS) as other,
    ):
        row: dict[str, Any] = {
            "name": "other",
            "priority": 5,
            "serves": "embeddings",
            "model_name": "large",
        }
        await gateway.connection(base_url=other.base_url, **row)
        answer = await gateway.call("editor", "POST", EMBEDDINGS, ASKED)
        assert openai_error(answer, 502)["code"] == "no_connection_answered"
        assert not other.requests


async def test_a_refusal_of_the_request_itself_is_a_400(gateway: Gateway) -> None:
    refusal = Script(
        fault=Fault.STATUS,
        status=400,
        error_body={"error": {"message": "dimensions must be 8", "type": "invalid_request_error"}},
    )
    async with servers(gateway, "embeddings", refusal):
        answer = await gateway.call("editor", "POST", EMBEDDINGS, ASKED)
        assert openai_error(answer, 400)["code"] == "request_refused"
        assert answer.headers["x-should-retry"] == "false"


async def test_each_request_goes_only_where_it_is_served(gateway: Gateway) -> None:
    async with servers(gateway, "embeddings", ANSWER) as [embeds], FaultyServer() as chats:
        await gateway.connection(base_url=chats.base_url, name="chat", aliases=["fast"])
        question = {"model": "auto", "messages": [{"role": "user", "content": "Hi?"}]}
        for model in ("auto", "chat", "fast"):
            asked = {**question, "model": model}
            answer = await gateway.call("editor", "POST", "/v1/chat/completions", asked)
            assert answer.headers["x-patchbay-connection"] == "chat"
        for path, model in ((EMBEDDINGS, "chat"), (EMBEDDINGS, "fast"), (SPEECH, "auto")):
            answer = await gateway.call("editor", "POST", path, {**SAY, "model": model})
            assert openai_error(answer, 404)["code"] == "model_not_found"
        answer = await gateway.call(
            "editor", "POST", "/v1/chat/completions", {**question, "model": "c0"}
        )
        openai_error(answer, 404)
        listed = (await gateway.call("editor", "GET", "/v1/models")).json()["data"]
        assert {"auto", "c0", "chat", "fast"} <= {model["id"] for model in listed}
        assert not embeds.requests


async def test_keys_are_checked_as_for_chat(gateway: Gateway) -> None:
    async with servers(gateway, "embeddings", ANSWER) as [server]:
        for who, status in (("", 401), ("viewer", 403), (STRANGER, 404)):
            openai_error(await gateway.call(who, "POST", EMBEDDINGS, ASKED), status)
        assert not server.requests


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (EMBEDDINGS, {"input": "a"}, "model"),
        (EMBEDDINGS, {"model": "auto"}, "input"),
        (EMBEDDINGS, {"model": "auto", "input": []}, "input"),
        (EMBEDDINGS, {"model": "auto", "input": {"a": 1}}, "input"),
        (SPEECH, {"model": "auto", "input": ""}, "input"),
        (SPEECH, {"model": "auto", "input": 5}, "input"),
    ],
)
async def test_a_request_that_is_none_names_its_fault(
    gateway: Gateway, path: str, body: Any, field: str
) -> None:
    async with servers(gateway, "speech", SPEAKS) as [server]:
        answer = await gateway.call("editor", "POST", path, body)
        assert openai_error(answer, 400)["param"] == field
        assert not server.requests


# ── Recordings ───────────────────────────────────────────────────────────────────────────────────


async def transcribe(gateway: Gateway, **form: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {gateway.keys['editor']}"}
    return await gateway.client.post(WORDS, headers=headers, **form)


async def test_a_recording_reaches_the_server_with_its_fields(gateway: Gateway) -> None:
    broken = Script(fault=Fault.STATUS, status=503)
    async with servers(gateway, "transcriptions", broken, HEARS, model_name="whisper") as both:
        fields = {
            "model": "auto",
            "language": "en",
            "timestamp_granularities[]": ["word", "segment"],
            "api_base": "http://evil",
        }
        sound = bytes(range(256)) * 40
        answer = await transcribe(gateway, data=fields, files={"file": ("a.wav", sound)})
        assert answer.json() == {"text": "hello"}
        for server in both:
            [sent] = server.requests
            assert sent.headers["content-type"].startswith("multipart/form-data; boundary=")
            assert sound in sent.content
            assert b'filename="a.wav"' in sent.content
            assert sent.content.count(b'name="timestamp_granularities[]"') == 2
            assert b"whisper" in sent.content
            assert b"evil" not in sent.content
            assert b"auto" not in sent.content


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"data": {"model": "auto"}}, 400, "missing_required_parameter"),
        ({"files": {"file": b"a"}}, 400, "missing_required_parameter"),
        ({"json": {"model": "auto"}}, 400, "missing_required_parameter"),
        (
            {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data"}},
            400,
            "invalid_form",
        ),
        ({"data": {"model": "auto"}, "files": {"file": bytes(26_000_001)}}, 413, "body_too_large"),
        (
            {"data": {"model": "auto"}, "files": [("file", b"a"), ("file", b"b")]},
            400,
            "invalid_form",
        ),
    ],
    ids=["no file", "no model", "no form", "no boundary", "too large", "two files"],
)
async def test_a_form_that_is_none_is_refused(
    gateway: Gateway, form: dict[str, Any], status: int, code: str
) -> None:
    async with servers(gateway, "transcriptions", HEARS) as [server]:
        key = {"Authorization": f"Bearer {gateway.keys['editor']}"}
        headers = {**form.pop("headers", {}), **key} if "headers" in form else key
        answer = await gateway.client.post(WORDS, **form, headers=headers)
        assert openai_error(answer, status)["code"] == code
        assert not server.requests
    assert gateway.services.reply_places.in_progress == 0


# ── On a socket ──────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Gateway, openai.AsyncOpenAI]]:
    """Serves the API on a socket, to openai-python."""
    url = f"sqlite:///{folder}/api.sqlite3"
    async with (
        api_on_a_socket(url, allowed_addresses=LOCAL) as api,
        openai.AsyncOpenAI(
            base_url=f"{api.url}/v1", api_key=api.keys["editor"], max_retries=0
        ) as client,
    ):
        yield api.gateway, client


async def test_openai_python_reads_all_three(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as (gateway, client),
        servers(gateway, "embeddings", ANSWER, name="e", model_name="vectors"),
        servers(gateway, "speech", SPEAKS, name="s"),
        servers(gateway, "transcriptions", HEARS, name="t"),
    ):
        made = await client.embeddings.create(model="vectors", input=["a"], encoding_format="float")
        assert made.data[0].embedding == [0.5, -0.25]
        assert made.usage.prompt_tokens == 7
        sound = await client.audio.speech.create(model="auto", voice="alloy", input="Hi.")
        assert sound.content == b"".join(SOUND)
        words = await client.audio.transcriptions.create(model="auto", file=b"RIFF")
        assert words.text == "hello"


async def test_speech_begins_before_it_is_whole_and_ends_when_its_client_leaves(
    tmp_path: Path,
) -> None:
    hangs = Script(raw=SOUND[:2], content_type="audio/wav", fault=Fault.STALL_AFTER)
    async with served(tmp_path) as (gateway, client), servers(gateway, "speech", hangs) as [server]:
        speech = client.audio.speech.with_streaming_response
        async with speech.create(**SAY) as answer:
            assert answer.headers["content-type"] == "audio/wav"
            assert await anext(answer.iter_bytes(4)) == b"RIFF"
        async with asyncio.timeout(10):
            assert await server.disconnected() is not None


async def test_a_client_that_leaves_before_the_first_byte_ends_the_request(tmp_path: Path) -> None:
    hangs = Script(fault=Fault.HANG_BEFORE_HEADERS)
    async with (
        served(tmp_path) as (gateway, client),
        servers(gateway, "embeddings", hangs, ANSWER) as [server, spare],
    ):
        asking = asyncio.create_task(client.embeddings.create(model="auto", input="a"))
        await server.received()
        asking.cancel()
        async with asyncio.timeout(10):
            assert await server.disconnected() is not None
        assert not spare.requests


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    breaks = Script(raw=SOUND[:2], content_type="audio/wav", fault=Fault.RESET_AFTER)
    async with served(tmp_path) as (gateway, client), servers(gateway, "speech", breaks, SPEAKS):
        speech = client.audio.speech.with_streaming_response
        with pytest.raises(httpx2.RemoteProtocolError):
            async with speech.create(**SAY) as answer:
                await answer.read()


# ── Rules ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("part", "counted"),
    [
        (b'..."usage": {"prompt_tokens": 3, "total_tokens": 3}}', Usage(prompt_tokens=3)),
        (
            b'{"usage":{"input_tokens":14,"details":{"audio_tokens":14},"output_tokens":45}}',
            Usage(prompt_tokens=14, completion_tokens=45),
        ),
        (b'{"usage": {"type": "duration", "seconds": 9}}', None),
        (b'{"text": "the usage"}', None),
        (b'"usage": {"prompt_tokens": oops}', None),
    ],
)
def test_tokens_are_read_from_the_end_of_an_answer(part: bytes, counted: Usage | None) -> None:
    assert counted_in(part) == counted


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("audio/mpeg", "audio/mpeg"),
        ("application/json; charset=utf-8", "application/json; charset=utf-8"),
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_no_server_has_a_browser_run_its_answer(given: str, shown: str) -> None:
    assert shown_type(given) == shown
