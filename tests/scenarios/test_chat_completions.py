"""Chat completions over HTTP: every fault of a server, as openai-python sees it, and clients that
leave. Clients, servers and router share one loop whose time jumps.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import openai
import pytest

from llm_router.errors import StatusError
from llm_router.testing import HANG, Step, say
from llm_router.types import Chunk, Usage
from tests.scenarios.acts import BEFORE
from tests.scenarios.chat_api import (
    ANSWER,
    BROKEN,
    CALLING,
    CALLS,
    HEAD,
    HELLO,
    SPARE,
    TOOLS,
    ChatApi,
    left,
    over,
)

OF_THE_REQUEST = {"too long", "bad request", "refused content", "filtered"}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Silences the log of deliberate faults."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# ── Faults ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", [*BEFORE, *BROKEN])
def test_one_healthy_spare_makes_a_whole_reply(fault: str) -> None:
    script = {**BEFORE, **BROKEN}[fault]

    async def test(api: ChatApi) -> None:
        for ask in (api.streamed, api.whole):
            [choice] = (await ask()).choices
            assert choice.message.content == ANSWER
            assert choice.finish_reason == "stop"

    over(script, SPARE).run(test)


@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_the_first_word_is_an_http_status(fault: str) -> None:
    async def test(api: ChatApi) -> None:
        for ask in (api.streamed, api.whole):
            with pytest.raises(openai.APIStatusError) as caught:
                await ask()
            error = caught.value
            assert (error.status_code == 400) is (fault in OF_THE_REQUEST), error
            assert error.request_id
            assert "a: " in error.message
            assert error.type in {"invalid_request_error", "rate_limit_error", "server_error"}

    over(BEFORE[fault]).run(test)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("too long", 400, "context_length_exceeded"),
        ("bad request", 400, "request_refused"),
        ("refused content", 400, "content_filter"),
        ("429, retry after", 429, "rate_limit_exceeded"),
        ("hang", 504, "no_answer_in_time"),
        ("refused", 502, "no_connection_answered"),
    ],
)
def test_the_status_says_whether_asking_again_can_help(fault: str, status: int, code: str) -> None:
    async def test(api: ChatApi) -> None:
        with pytest.raises(openai.APIStatusError) as caught:
            await api.streamed()
        assert (caught.value.status_code, caught.value.code) == (status, code)
        headers = caught.value.response.headers
        is_limited = status == 429
        assert headers.get("retry-after") == ("5" if is_limited else None)
        # The router has asked again where that could help; its clients need not.
        assert headers.get("x-should-retry") == (None if is_limited else "false")

    over(BEFORE[fault]).run(test)


async def read_into(said: list[str], api: ChatApi) -> None:
    """Adds each text of a stream as it arrives."""
    async for chunk in await api.client.chat.completions.create(**HELLO, stream=True):
        said += [chunk.choices[0].delta.content or ""]


@pytest.mark.parametrize("fault", [name for name in BROKEN if name != "ends without a reason"])
def test_a_reply_that_no_server_can_finish_ends_in_an_error_and_no_phrase(fault: str) -> None:
    async def test(api: ChatApi) -> None:
        said: list[str] = []
        with pytest.raises(openai.APIError) as caught:
            await read_into(said, api)
        assert caught.value.code == "reply_broken_off"
        assert ANSWER.startswith("".join(said).strip())
        with pytest.raises(openai.APIStatusError) as whole:
            await api.whole()
        assert whole.value.code in {"reply_broken_off", "no_connection_answered"}

    over(BROKEN[fault], BEFORE["refused"]).run(test)


def test_a_stream_that_fails_has_an_error_frame_and_no_end_mark() -> None:
    async def test(api: ChatApi) -> None:
        *frames, last = (await exchange(api, {"stream": True})).split("\n\n")[:-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "reply_broken_off"
        assert not any("[DONE]" in frame or 'finish_reason":"' in frame for frame in frames)

    over(BROKEN["breaks"], BEFORE["refused"]).run(test)


def test_an_answer_to_a_tool_result_may_be_empty() -> None:
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "book it"},
        {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ]  # fmt: skip

    async def test(api: ChatApi) -> None:
        for completion in (await api.streamed(messages=history), await api.whole(messages=history)):
            assert completion.choices[0].message.content in {"", None}
            assert completion.choices[0].finish_reason == "stop"

    over(BEFORE["empty"]).run(test)


# ── The contract ─────────────────────────────────────────────────────────────────────────────────


async def exchange(api: ChatApi, fields: Mapping[str, Any]) -> str:
    """Returns the body of an answer as it was sent."""
    body = {**HELLO, **fields}
    answer: str = await api.client.post("/chat/completions", body=body, cast_to=str)
    return answer


async def frames(api: ChatApi, **fields: Any) -> list[dict[str, Any]]:
    """Returns the frames of a whole stream, without its end mark."""
    *lines, end = (await exchange(api, {"stream": True, **fields})).split("\n\n")[:-1]
    assert end == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_frames_are_as_the_contract_says() -> None:
    async def test(api: ChatApi) -> None:
        first, *between, last = await frames(api)
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        texts = [frame["choices"][0]["delta"]["content"] for frame in between]
        assert "".join(texts) == ANSWER
        assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
        every = [first, *between, last]
        assert len({(f["id"], f["created"], f["model"], f["object"]) for f in every}) == 1
        assert first["id"]
        assert first["model"]
        assert [f["choices"][0]["finish_reason"] for f in every[:-1]] == [None] * (len(every) - 1)
        assert not any("usage" in frame for frame in every)

    over(SPARE).run(test)


def test_usage_comes_last_and_only_when_asked_for() -> None:
    used = Chunk(usage=Usage(10, 20, 4))
    script = [*say(ANSWER), Step(0.05, used)]

    async def test(api: ChatApi) -> None:
        *before, last = await frames(api, stream_options={"include_usage": True})
        assert [frame["usage"] for frame in before] == [None] * len(before)
        assert last["choices"] == []
        tokens = last["usage"]
        assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == (10, 20)
        assert tokens["total_tokens"] == 30
        assert tokens["prompt_tokens_details"]["cached_tokens"] == 4
        completion = await api.whole()
        assert completion.usage
        assert completion.usage.total_tokens == 30

    over(script).run(test)


def test_tokens_that_no_server_counted_are_estimated() -> None:
    async def test(api: ChatApi) -> None:
        completion = await api.whole()
        assert completion.usage
        assert completion.usage.completion_tokens >= len(ANSWER.split()) // 2

    over(SPARE).run(test)


def test_tool_calls_are_numbered_from_zero_and_come_once() -> None:
    async def test(api: ChatApi) -> None:
        completion = await api.streamed(tools=TOOLS)
        [choice] = completion.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls
        made = [call for call in choice.message.tool_calls if call.type == "function"]
        assert [(call.id, call.function.name, call.function.arguments) for call in made] == [
            (call.id, call.name, call.arguments) for call in CALLS
        ]
        deltas = [d for f in await frames(api, tools=TOOLS)
                  for d in f["choices"][0]["delta"].get("tool_calls", ())]  # fmt: skip
        assert [delta["index"] for delta in deltas] == [0, 0, 1, 1]
        assert [delta.get("id") for delta in deltas] == ["call_1", None, "call_2", None]
        whole = (await api.whole(tools=TOOLS)).choices[0]
        assert whole.finish_reason == "tool_calls"
        assert whole.message.tool_calls
        assert len(whole.message.tool_calls) == len(CALLS)

    over(CALLING).run(test)


@pytest.mark.parametrize("fault", ["half a tool call", "hang", "500"])
def test_a_tool_call_survives_a_server_that_fails(fault: str) -> None:
    async def test(api: ChatApi) -> None:
        completion = await api.streamed(tools=TOOLS)
        calls = completion.choices[0].message.tool_calls
        assert calls
        assert [call.id for call in calls] == ["call_1", "call_2"]

    over(BEFORE[fault], CALLING).run(test)


def test_a_tool_schema_that_no_server_accepts_is_a_400_with_the_reason() -> None:
    refused = [Step(0.02, error=StatusError(400, detail="tools.0: unknown type 'objekt'"))]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "objekt"}}}]

    async def test(api: ChatApi) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            await api.streamed(tools=tools)
        assert caught.value.type == "invalid_request_error"
        assert "bad request" in caught.value.message

    over(refused, refused).run(test)


def test_headers_say_who_answered_and_how() -> None:
    async def test(api: ChatApi) -> None:
        create = api.client.chat.completions.with_raw_response.create
        for stream in (True, False):
            headers = (await create(**HELLO, stream=stream)).headers
            assert headers["x-patchbay-connection"] == "b"
            assert headers["x-patchbay-attempts"] == "2"
            assert 200 <= int(headers["x-patchbay-first-word-ms"]) <= 300
            assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])
            streamed = ("text/event-stream; charset=utf-8", "no-cache", "no")
            given = [headers.get(n) for n in ("content-type", "cache-control", "x-accel-buffering")]
            assert (tuple(given) == streamed) is stream
            api.stage.clock.advance(60.0)  # the breaker of `a` is closed again

    over(BEFORE["500"], SPARE).run(test)


def test_a_receipt_lists_the_attempts_when_it_is_asked_for() -> None:
    async def test(api: ChatApi) -> None:
        *_, last = await frames(api, patchbay={"receipt": True})
        receipt = last["patchbay"]
        assert [(a["connection"], a["outcome"]) for a in receipt["attempts"]] == [
            ("a", "broken stream"),
            ("b", "won"),
        ]
        assert (receipt["connection"], receipt["resumes"], receipt["hedges"]) == ("b", 1, 0)
        whole = json.loads(await exchange(api, {"patchbay": {"receipt": True}}))
        assert whole["patchbay"]["connection"] == "b"

    over(BROKEN["breaks"], SPARE).run(test)


# ── Clients that leave ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("script", "after"),
    [([HANG], 0.1), ([*say(HEAD, finish=None), HANG], 2.0), (say(ANSWER, gap=1.0), 3.3)],
    ids=["before the first word", "in a pause", "in mid-stream"],
)
def test_a_client_that_leaves_ends_the_upstream_within_a_tenth_of_a_second(
    stream: bool, script: Sequence[Step], after: float
) -> None:
    asked = over(script, [HANG])

    async def test(api: ChatApi) -> None:
        assert (
            await left(api, "/v1/chat/completions", {**HELLO, "stream": stream}, after=after) <= 0.1
        )
        [reply] = api.stage.replies
        assert reply.cancelled
        assert sum(attempt.outcome == "cancelled" for attempt in reply.tries)

    asked.run(test)


def test_hedges_of_a_client_that_left_end_as_well() -> None:
    async def test(api: ChatApi) -> None:
        assert await left(api, "/v1/chat/completions", {**HELLO, "stream": True}, after=1.5) <= 0.1
        assert {event.connection for event in api.stage.events} == {"a", "b"}

    over([HANG], [HANG]).run(test)


def test_words_that_one_read_brought_are_one_write() -> None:
    together = [Step(0.1, Chunk(text="We")), *(Step(0.0, Chunk(text=" are")) for _ in range(5))]
    script = [*together, Step(0.3, Chunk(text=" open.")), Step(0.3, Chunk(finish_reason="stop"))]

    async def test(api: ChatApi) -> None:
        async with api.client.chat.completions.with_streaming_response.create(
            **{**HELLO, "stream": True}
        ) as response:
            writes = [write.decode() async for write in response.iter_bytes()]
        words = [re.findall(r'"content":"( ?\w+\.?)"', write) for write in writes]
        assert [each for each in words if each] == [["We"], [" are"] * 5, [" open."]]

    over(script).run(test)
