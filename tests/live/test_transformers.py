"""Tests the part of the in-process provider that needs torch, with a model whose answers are known.

The environment variable `TINY_MODEL` names the model's folder, beside its qa.json; its default is
`model/hf` here. `TINY_DEVICE` names torch's device; its default is `cpu`.
"""

import asyncio
import importlib.util
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from llm_router.classification import classify
from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.errors import StatusError
from llm_router.failures import FailureClass
from llm_router.providers.transformers.provider import Transformers, create
from llm_router.types import ChatRequest, Chunk
from tests.live.engines import Engines
from tests.live.kinds import KINDS

FOLDER = Path(os.environ.get("TINY_MODEL", Path(__file__).parent / "model" / "hf"))
DEVICE = os.environ.get("TINY_DEVICE", "cpu")

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def packages(all_engines: Engines) -> None:
    """Makes torch and transformers importable, from the environment built for them if necessary."""
    if not importlib.util.find_spec("torch"):
        await all_engines.get(KINDS["transformers"])


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """Questions, and the answers to them word for word."""
    content: dict[str, Any] = json.loads((FOLDER.parent / "qa.json").read_text(encoding="utf-8"))
    return content


def open_model(folder: Path, **extra: Any) -> Transformers:
    connection = Connection(
        name="here",
        provider="transformers",
        model_name=str(folder),
        temperature=0.0,
        extra_body={"device": DEVICE, "dtype": "bfloat16", **extra},
    )
    return create(connection, SystemClock())


@pytest_asyncio.fixture(loop_scope="session")
async def provider() -> AsyncIterator[Transformers]:
    opened = open_model(FOLDER)
    yield opened
    await opened.aclose()


def ask(question: str, **fields: Any) -> ChatRequest:
    return ChatRequest(messages=[{"role": "user", "content": question}], **fields)


async def read(provider: Transformers, request: ChatRequest) -> list[Chunk]:
    async with aclosing(provider.stream(request)) as chunks:
        return [chunk async for chunk in chunks]


def text(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def cuts(words: str) -> Iterator[str]:
    """Yields the beginnings of the text that end after each word but the last."""
    for place, character in enumerate(words.rstrip()):
        if character == " ":
            yield words[:place]


async def test_every_answer_is_given_word_for_word(
    provider: Transformers, known: dict[str, Any]
) -> None:
    for item in known["items"]:
        chunks = await read(provider, ask(item["ask"][0]))
        assert text(chunks) == item["reply"]
        assert chunks[-1].finish_reason == "stop"
        assert chunks[-1].usage
        assert chunks[-1].usage.completion_tokens > 0


async def test_an_answer_cut_after_any_word_is_continued_to_the_same_end(
    provider: Transformers, known: dict[str, Any]
) -> None:
    for item in known["items"][:8]:
        for beginning in cuts(item["reply"]):
            rest = await read(provider, ask(item["ask"][0], prefix=beginning))
            assert beginning + text(rest) == item["reply"]


async def test_a_tool_is_called_as_the_template_says(
    provider: Transformers, known: dict[str, Any]
) -> None:
    item = next(item for item in known["items"] if "tool" in item)
    wanted = item["tool"]
    schema = {"type": "object", "properties": {"reason": {"type": "string"}}}
    function = {"name": wanted["name"], "description": "Connect.", "parameters": schema}
    tools = [
        {"type": "function", "function": {"name": "end_call", "parameters": {}}},
        {"type": "function", "function": function},
    ]
    chunks = await read(provider, ask(item["ask"][0], tools=tools))
    ((call,),) = [chunk.tool_calls for chunk in chunks if chunk.tool_calls]
    assert (call.name, json.loads(call.arguments)) == (wanted["name"], wanted["arguments"])
    assert text(chunks) == ""


async def test_a_closed_stream_ends_the_thread_and_the_next_is_answered(
    provider: Transformers, known: dict[str, Any]
) -> None:
    async with aclosing(provider.stream(ask("Please count to fifty"))) as chunks:
        async for chunk in chunks:
            if chunk.useful:
                break
    first = known["items"][0]
    replies = await asyncio.gather(*(read(provider, ask(first["ask"][0])) for _ in range(3)))
    assert [text(reply) for reply in replies] == [first["reply"]] * 3


async def test_a_prompt_that_is_too_long_is_refused(provider: Transformers) -> None:
    with pytest.raises(StatusError) as caught:
        await read(provider, ask("word " * 3000))
    assert classify(caught.value).kind is FailureClass.TOO_LONG


async def test_a_missing_folder_is_a_missing_model() -> None:
    provider = open_model(FOLDER / "no-such-folder")
    with pytest.raises(StatusError) as caught:
        await read(provider, ask("Hello"))
    await provider.aclose()
    assert classify(caught.value).kind is FailureClass.MODEL_MISSING


async def test_a_model_without_a_chat_template_continues_a_text(
    tmp_path: Path, known: dict[str, Any]
) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("chat_template.jinja"))
    provider = open_model(folder)
    first = known["items"][0]
    prompt = f"<|im_start|>user\n{first['ask'][0]}<|im_end|>\n<|im_start|>assistant\n"
    assert text(await read(provider, ask(prompt))) == first["reply"]
    await provider.aclose()
