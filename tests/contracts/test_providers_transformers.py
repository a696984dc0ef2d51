"""Tests the provider of models in this process, without torch, which tests/live runs.

The engine here repeats one sentence. A word is a token, and each token takes one of `steps`.
"""

import asyncio
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from llm_router.classification import classify
from llm_router.clock import SystemClock, checkpoint
from llm_router.connections.record import Connection
from llm_router.errors import AddressRefusedError, ConfigurationError, StatusError
from llm_router.failures import FailureClass
from llm_router.net.guard import AddressGuard
from llm_router.providers.transformers.provider import Transformers, create
from llm_router.types import ChatRequest, Chunk, ToolCall, Usage

SENTENCE = "We open at nine in the morning."
HELLO = ChatRequest(messages=[{"role": "user", "content": "When do you open?"}])
END = 0


class OneSentence:
    """An Engine whose tokens are words and whose prompts are the messages' texts."""

    def __init__(self, said: str = SENTENCE, *, context_length: int | None = 100) -> None:
        self.context_length = context_length
        self.end_tokens = frozenset({END})
        self.has_chat = True
        self.steps: threading.Semaphore | None = None
        """If set, each token waits for it."""
        self.begun = threading.Event()
        self.generated = 0
        self.prompts: list[str] = []
        self.options: Mapping[str, Any] = {}
        self.messages: Sequence[Mapping[str, Any]] = ()
        self._said = said
        self._words = ["", *self._tokens(said)]

    def chat_prompt(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], *, continues: bool
    ) -> str | None:
        self.messages = messages
        if not self.has_chat:
            return None
        shown = "|".join(f"{m['role']}:{m['content']}" for m in messages)
        return f"{len(tools)} tools|{shown}" + ("" if continues else "|assistant:")

    def encode(self, prompt: str, *, has_special_tokens: bool) -> list[int]:
        assert has_special_tokens is self.has_chat
        self.prompts.append(prompt)
        tokens = self._tokens(prompt)
        self._words += tokens
        return list(range(len(self._words) - len(tokens), len(self._words)))

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self._words[token] for token in tokens)

    def generate(
        self, prompt: Sequence[int], options: Mapping[str, Any], each: Callable[[int], bool]
    ) -> None:
        self.options = options
        begun = self.decode(prompt).rpartition("assistant:")[2].rpartition("Assistant:")[2].strip()
        first = 1 + (len(self._tokens(begun)) if begun and self._said.startswith(begun) else 0)
        tokens = [*range(first, 1 + len(self._tokens(self._said))), END]
        for token in tokens[: options["max_new_tokens"]]:
            if self.steps:
                self.steps.acquire()
            self.generated += 1
            self.begun.set()
            if not each(token):
                return

    @staticmethod
    def _tokens(text: str) -> list[str]:
        return re.findall(r"\s*[^\s.,:|<>]+|\s*[^\s]|\s+$", text)


def connection(**fields: Any) -> Connection:
    return Connection(name="here", provider="transformers", **{"model_name": "m", **fields})


@asynccontextmanager
async def running(engine: OneSentence | None = None, **fields: Any) -> AsyncIterator[Transformers]:
    made = engine or OneSentence()
    provider = Transformers(connection(**fields), lambda: made)
    try:
        yield provider
    finally:
        await provider.aclose()


async def read(provider: Transformers, request: ChatRequest = HELLO) -> list[Chunk]:
    async with aclosing(provider.stream(request)) as chunks:
        return [chunk async for chunk in chunks]


def text(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


# --- Replies


async def test_a_reply_has_text_a_finish_reason_and_usage() -> None:
    async with running() as provider:
        await provider.warm()
        chunks = await read(provider)
    assert text(chunks) == SENTENCE
    assert sum(chunk.useful for chunk in chunks) == 8
    assert chunks[-1].finish_reason == "stop"
    assert chunks[-1].usage == Usage(prompt_tokens=12, completion_tokens=9)


@pytest.mark.parametrize("cut", range(1, 8))
async def test_a_prefix_is_continued(cut: int) -> None:
    words = re.findall(r"\s*[^\s.]+|\.", SENTENCE)
    prefix = "".join(words[:cut])
    async with running() as provider:
        chunks = await read(provider, ChatRequest(messages=HELLO.messages, prefix=prefix))
    assert text(chunks) == "".join(words[cut:])


async def test_a_space_at_the_end_of_a_prefix_is_removed() -> None:
    engine = OneSentence()
    async with running(engine) as provider:
        await read(provider, ChatRequest(messages=HELLO.messages, prefix="We open "))
    assert engine.prompts[0].endswith("|assistant:We open")


async def test_a_model_without_a_chat_template_continues_a_text() -> None:
    engine = OneSentence()
    engine.has_chat = False
    async with running(engine) as provider:
        assert text(await read(provider)) == SENTENCE
        said = [*HELLO.messages, {"role": "assistant", "content": "At nine."}, *HELLO.messages]
        await read(provider, ChatRequest(messages=said))
    assert engine.prompts == [
        "When do you open?",
        "User: When do you open?\nAssistant: At nine.\nUser: When do you open?\nAssistant:",
    ]


async def test_a_reply_that_reaches_its_limit_ends_with_length() -> None:
    async with running(max_tokens=3) as provider:
        chunks = await read(provider)
        assert (text(chunks), chunks[-1].finish_reason) == ("We open at", "length")
        chunks = await read(provider, ChatRequest(messages=HELLO.messages, max_tokens=9))
        assert (text(chunks), chunks[-1].finish_reason) == (SENTENCE, "stop")


async def test_a_reply_ends_before_a_stop_sequence() -> None:
    async with running() as provider:
        chunks = await read(provider, ChatRequest(messages=HELLO.messages, stop=["nine in"]))
    assert (text(chunks), chunks[-1].finish_reason) == ("We open at ", "stop")


async def test_reasoning_in_tags_is_never_part_of_the_text() -> None:
    async with running(OneSentence("<think>well</think>At nine.")) as provider:
        chunks = await read(provider)
    assert text(chunks) == "At nine."
    assert "".join(chunk.reasoning for chunk in chunks) == "well"


CALL = '{"name": "hours", "arguments": {"day": "Monday"}}'
TOOLS = [{"type": "function", "function": {"name": "hours", "parameters": {}}}]


async def test_tool_calls_are_parsed_if_tools_were_offered() -> None:
    said = f"One moment.<tool_call>\n{CALL}\n</tool_call><tool_call>{CALL}</tool_call>"
    async with running(OneSentence(said)) as provider:
        chunks = await read(provider, ChatRequest(messages=HELLO.messages, tools=TOOLS))
    assert text(chunks) == "One moment."
    assert chunks[-1].tool_calls == (
        ToolCall("call_1", "hours", '{"day": "Monday"}'),
        ToolCall("call_2", "hours", '{"day": "Monday"}'),
    )
    assert chunks[-1].finish_reason == "tool_calls"


async def test_an_incomplete_tool_call_is_a_broken_stream() -> None:
    async with running(OneSentence(f"<tool_call>{CALL[:20]}")) as provider:
        with pytest.raises(Exception, match="cut or unreadable") as caught:
            await read(provider, ChatRequest(messages=HELLO.messages, tools=TOOLS))
    assert classify(caught.value).kind is FailureClass.BROKEN_STREAM


async def test_the_history_has_the_form_that_templates_expect() -> None:
    engine = OneSentence()
    made = {"id": "c", "function": {"name": "hours", "arguments": '{"day": 1}'}, "extra": 1}
    said: list[dict[str, Any]] = [
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "c", "content": "9"},
    ]
    async with running(engine) as provider:
        await read(provider, ChatRequest(messages=said))
    function = {"name": "hours", "arguments": {"day": 1}}
    assert engine.messages == [
        {"role": "system", "content": "Be kind."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": function}],
        },
        {"role": "tool", "content": "9", "tool_call_id": "c"},
    ]


WARM = {"temperature": 0.5, "top_p": 0.9}


@pytest.mark.parametrize(
    ("fields", "asked", "options"),
    [
        ({}, {}, {}),
        (WARM, {}, {"do_sample": True, **WARM}),
        (WARM, {"temperature": 0}, {"do_sample": False}),
        ({"extra_body": {"top_k": 4, "device": "cpu"}}, {"seed": 3}, {"top_k": 4, "seed": 3}),
    ],
)
async def test_options_get_the_names_of_generate(
    fields: dict[str, Any], asked: dict[str, Any], options: dict[str, Any]
) -> None:
    engine = OneSentence()
    async with running(engine, **fields) as provider:
        await read(provider, ChatRequest(messages=HELLO.messages, **asked))
    assert engine.options == {"max_new_tokens": 88, **options}


async def test_a_prompt_without_room_for_a_reply_is_too_long() -> None:
    async with running(OneSentence(context_length=12)) as provider:
        with pytest.raises(StatusError) as caught:
            await read(provider)
    assert classify(caught.value).kind is FailureClass.TOO_LONG


# --- Threads


async def test_closing_a_reply_ends_its_thread_within_a_token() -> None:
    engine = OneSentence()
    engine.steps = threading.Semaphore(2)
    async with running(engine) as provider:
        async with aclosing(provider.stream(HELLO)) as chunks:
            received = [await anext(chunks) for _ in range(3)]
        engine.steps.release(100)
    assert [chunk.text for chunk in received] == ["", "We", " open"]
    assert engine.generated <= 3, "the step under way, if one was, and none after it"


async def test_cancelling_ends_the_thread_too() -> None:
    engine = OneSentence()
    engine.steps = threading.Semaphore(1)
    async with running(engine) as provider:
        reading = asyncio.create_task(read(provider))
        await asyncio.to_thread(engine.begun.wait)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        engine.steps.release(100)
    assert engine.generated <= 2


async def test_a_thread_waits_for_a_slow_reader() -> None:
    engine = OneSentence("word " * 500, context_length=None)
    async with running(engine, max_tokens=400) as provider:
        async with aclosing(provider.stream(HELLO)) as chunks:
            await anext(chunks)
            assert (await anext(chunks)).text == "word"
            asked = engine.generated
        assert asked < 100


async def test_a_second_reply_waits_for_the_first_and_one_too_many_is_refused() -> None:
    engine = OneSentence()
    engine.steps = threading.Semaphore(0)
    async with running(engine, extra_body={"waiting": 1}) as provider:
        await provider.warm()
        first, second = (asyncio.create_task(read(provider)) for _ in range(2))
        await checkpoint()
        with pytest.raises(StatusError) as caught:
            await read(provider)
        engine.steps.release(100)
        assert [text(await reading) for reading in (first, second)] == [SENTENCE, SENTENCE]
    assert classify(caught.value).kind is FailureClass.OVERLOADED


async def test_a_waiting_reply_that_is_closed_never_starts() -> None:
    engine = OneSentence()
    engine.steps = threading.Semaphore(0)
    async with running(engine) as provider:
        await provider.warm()
        first, second = (asyncio.create_task(read(provider)) for _ in range(2))
        await checkpoint()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        engine.steps.release(100)
        assert text(await first) == SENTENCE
    assert len(engine.prompts) == 1


async def test_an_error_in_the_thread_is_raised_to_the_reader() -> None:
    class Broken(OneSentence):
        def generate(self, *_: Any) -> None:
            raise ZeroDivisionError

    async with running(Broken()) as provider:
        with pytest.raises(ZeroDivisionError):
            await read(provider)
        with pytest.raises(ZeroDivisionError):
            await read(provider)


# --- Loading


async def test_a_model_is_loaded_once_and_every_waiting_reply_says_so() -> None:
    loads: list[OneSentence] = []
    gate = threading.Event()

    def load() -> OneSentence:
        gate.wait()
        loads.append(OneSentence())
        return loads[-1]

    provider = Transformers(connection(), load)
    async with aclosing(provider.stream(HELLO)) as chunks:
        assert await anext(chunks) == Chunk(loading=True)
    gate.set()
    await provider.warm()
    assert not (await read(provider))[0].loading
    assert len(loads) == 1
    await provider.aclose()


async def test_an_unknown_model_is_missing() -> None:
    def load() -> OneSentence:
        raise StatusError(404, code="model_not_found")

    provider = Transformers(connection(), load)
    await provider.warm()
    for ask in (read, Transformers.probe):
        with pytest.raises(StatusError) as caught:
            await ask(provider)
        assert classify(caught.value).kind is FailureClass.MODEL_MISSING
    await provider.aclose()


# --- Invalid connections


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"base_url": "http://box"}, "it has no base_url"),
        ({"model_name": ""}, "runs model_name, a folder or a name on the hub"),
    ],
)
def test_an_invalid_connection_is_refused_with_the_reason(
    fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        create(connection(**fields), SystemClock())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"continuation": "flags"}, 'use "trailing" or "words"'),
        ({"extra_body": {"parallel": 0}}, "parallel in extra_body must be a number from 1 up"),
        ({"extra_body": {"waiting": "4"}}, "waiting in extra_body must be a number from 0 up"),
    ],
)
def test_an_invalid_setting_is_refused_with_the_reason(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Transformers(connection(**fields), OneSentence)


@pytest.mark.skipif("torch" in sys.modules, reason="it is not missing here")
def test_missing_packages_are_named_with_how_to_install_them() -> None:
    with pytest.raises(ConfigurationError, match=r"pip install transformers torch jinja2"):
        create(connection(), SystemClock())


def test_a_guarded_connection_cannot_read_files() -> None:
    with pytest.raises(AddressRefusedError, match="an administrator can use it"):
        create(connection(), SystemClock(), AddressGuard())
