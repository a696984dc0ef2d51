"""Responses, messages and older completions over HTTP: every fault of a server, as the vendors' own
clients see it, and clients that leave. All share one loop whose time jumps.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from llm_router.testing import HANG, Step, say
from llm_router.types import Chunk, Usage
from tests.scenarios.acts import BEFORE
from tests.scenarios.api_forms import FORMS, ApiForm
from tests.scenarios.chat_api import (
    ANSWER,
    BROKEN,
    CALLING,
    CALLS,
    HEAD,
    SPARE,
    ChatApi,
    left,
    over,
)

OF_THE_REQUEST = {"too long", "bad request", "refused content", "filtered"}
MADE = [(call.id, call.name, json.loads(call.arguments)) for call in CALLS]
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
forms_with_tools = pytest.mark.parametrize(
    "form", [FORMS["responses"], FORMS["messages"]], ids=["responses", "messages"]
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Silences the log of deliberate faults."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# ── Faults ───────────────────────────────────────────────────────────────────────────────────────


@each_form
@pytest.mark.parametrize("fault", [*BEFORE, *BROKEN])
def test_one_healthy_spare_makes_a_whole_reply(form: ApiForm, fault: str) -> None:
    async def test(api: ChatApi) -> None:
        for ask in (form.streamed, form.whole):
            said = await ask(api)
            assert (said.text, [*said.calls], said.reason) == (ANSWER, [], form.ended)

    over({**BEFORE, **BROKEN}[fault], SPARE).run(test)


@each_form
@pytest.mark.parametrize(
    "fault", ["refused", "hang", "429, retry after", "too long", "bad request", "filtered", "bug"]
)
def test_a_fault_before_the_first_word_is_an_http_status(form: ApiForm, fault: str) -> None:
    async def test(api: ChatApi) -> None:
        for ask in (form.streamed, form.whole):
            with pytest.raises(form.failure) as caught:
                await ask(api)
            error: Any = caught.value
            assert (error.status_code == 400) is (fault in OF_THE_REQUEST), error
            assert error.status_code != 200
            assert error.request_id
            assert "a: " in str(error)

    over(BEFORE[fault]).run(test)


async def read_into(said: list[str], form: ApiForm, api: ChatApi) -> None:
    """Adds each text of a stream as it arrives."""
    async for text in form.text(api):
        said += [text]


@each_form
@pytest.mark.parametrize("fault", [name for name in BROKEN if name != "ends without a reason"])
def test_a_reply_that_no_server_can_finish_ends_in_an_error(form: ApiForm, fault: str) -> None:
    async def test(api: ChatApi) -> None:
        said: list[str] = []
        with pytest.raises(form.failure, match="broke off"):
            await read_into(said, form, api)
        assert said
        assert ANSWER.startswith("".join(said).strip())
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            await form.whole(api)

    over(BROKEN[fault], BEFORE["refused"]).run(test)


@each_form
def test_a_reply_cut_by_its_length_says_so(form: ApiForm) -> None:
    cut = [*say(HEAD, finish=None), Step(0.02, Chunk(finish_reason="length"))]

    async def test(api: ChatApi) -> None:
        for ask in (form.streamed, form.whole):
            said = await ask(api)
            assert (said.text.strip(), said.reason) == (HEAD, form.cut)

    over(cut).run(test)


# ── Tools, tokens and headers ────────────────────────────────────────────────────────────────────


@forms_with_tools
@pytest.mark.parametrize("before", ["", "One moment. "])
def test_tool_calls_come_once(form: ApiForm, before: str) -> None:
    script = [*(say(before, finish=None) if before else ()), *CALLING]

    async def test(api: ChatApi) -> None:
        for ask in (form.streamed, form.whole):
            said = await ask(api, **form.tools)
            assert (said.text.strip(), [*said.calls], said.reason) == (
                before.strip(), MADE, form.called,
            )  # fmt: skip

    over(script).run(test)


@forms_with_tools
@pytest.mark.parametrize("fault", ["half a tool call", "hang", "500"])
def test_a_tool_call_survives_a_server_that_fails(form: ApiForm, fault: str) -> None:
    async def test(api: ChatApi) -> None:
        assert [*(await form.streamed(api, **form.tools)).calls] == MADE

    over(BEFORE[fault], CALLING).run(test)


@each_form
def test_tokens_are_those_that_the_server_counted(form: ApiForm) -> None:
    script = [*say(ANSWER), Step(0.05, Chunk(usage=Usage(10, 20)))]

    async def test(api: ChatApi) -> None:
        assert (await form.streamed(api)).tokens == (10, 20)
        assert (await form.whole(api)).tokens == (10, 20)

    over(script).run(test)


@each_form
def test_tokens_that_no_server_counted_are_estimated(form: ApiForm) -> None:
    async def test(api: ChatApi) -> None:
        for ask in (form.streamed, form.whole):
            assert (await ask(api)).tokens[1] >= len(ANSWER.split()) // 2

    over(SPARE).run(test)


async def exchange(api: ChatApi, form: ApiForm, **fields: Any) -> str:
    """Returns the body of an answer as it was sent."""
    path = form.path.removeprefix("/v1")
    answer: str = await api.client.post(path, body=form.asked(**fields), cast_to=str)
    return answer


@each_form
@pytest.mark.parametrize("stream", [True, False])
def test_headers_and_receipt_say_who_answered(form: ApiForm, stream: bool) -> None:
    asked = {**form.asked(), "stream": stream, "patchbay": {"receipt": True}}

    async def test(api: ChatApi) -> None:
        async with httpx2.AsyncClient(verify=False) as client:
            answer = await client.post(f"http://127.0.0.1:{api.port}{form.path}", json=asked)
        headers = answer.headers
        assert headers["x-patchbay-connection"] == "b"
        assert headers["x-patchbay-attempts"] == "2"
        assert headers["x-request-id"].startswith("req_")
        if form is FORMS["messages"]:
            assert headers["request-id"] == headers["x-request-id"]
        assert ("event-stream" in headers["content-type"]) is stream
        attempts = re.findall(r'"connection":"(.)","model":"","role"', answer.text)
        assert attempts == ["a", "b"]

    over(BEFORE["500"], SPARE).run(test)


# ── Events ───────────────────────────────────────────────────────────────────────────────────────


async def events(api: ChatApi, form: ApiForm, **fields: Any) -> list[dict[str, Any]]:
    """Returns the data of each event, whose name is its type; without the mark of the end."""
    made = []
    for event in (await exchange(api, form, stream=True, **fields)).split("\n\n")[:-1]:
        if event == "data: [DONE]":
            continue
        name, data = event.split("\n")
        made.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {made[-1]['type']}"
    return made


def without_repeats(kinds: Sequence[str]) -> list[str]:
    return [kind for number, kind in enumerate(kinds) if [*kinds[:number]][-1:] != [kind]]


def test_events_of_a_response_are_numbered_and_close_what_they_open() -> None:
    script = [*say("One moment. ", finish=None), *CALLING]
    item = ["response.output_item.added"]
    text = ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"]
    call = ["function_call_arguments.delta", "function_call_arguments.done"]
    done = ["response.output_item.done"]

    async def test(api: ChatApi) -> None:
        form = FORMS["responses"]
        made = await events(api, form, **form.tools)
        assert [event["sequence_number"] for event in made] == [*range(len(made))]
        a_call = [*item, *(f"response.{kind}" for kind in call), *done]
        assert without_repeats([event["type"] for event in made]) == [
            "response.created", "response.in_progress",
            *item, *(f"response.{kind}" for kind in text), *done,
            *a_call, *a_call, "response.completed",
        ]  # fmt: skip
        assert [event["output_index"] for event in made if event["type"] in done] == [0, 1, 2]
        response = made[-1]["response"]
        assert response["output"] == [event["item"] for event in made if event["type"] in done]
        assert response["store"] is False
        assert (await exchange(api, form, stream=True)).endswith("data: [DONE]\n\n")

    over(script).run(test)


def test_a_response_that_fails_ends_in_its_error_and_what_it_had_said() -> None:
    async def test(api: ChatApi) -> None:
        *_, error, failed = await events(api, FORMS["responses"])
        assert (error["type"], error["error"]["code"]) == ("error", "reply_broken_off")
        assert failed["type"] == "response.failed"
        response = failed["response"]
        assert (response["status"], response["error"]["code"]) == ("failed", "reply_broken_off")
        [message] = response["output"]
        assert message["status"] == "incomplete"
        assert ANSWER.startswith(message["content"][0]["text"].strip())
        assert "[DONE]" not in await exchange(api, FORMS["responses"], stream=True)

    over(BROKEN["breaks"], BEFORE["refused"]).run(test)


def test_events_of_a_message_close_what_they_open() -> None:
    script = [*say("One moment. ", finish=None), *CALLING]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]

    async def test(api: ChatApi) -> None:
        form = FORMS["messages"]
        made = await events(api, form, **form.tools)
        assert without_repeats([event["type"] for event in made]) == [
            "message_start", *block, *block, *block, "message_delta", "message_stop",
        ]  # fmt: skip
        starts = [event for event in made if event["type"] == "content_block_start"]
        assert [event["index"] for event in starts] == [0, 1, 2]
        assert made[0]["message"]["usage"]["input_tokens"] == 1

    over(script).run(test)


def test_a_message_that_fails_ends_in_anthropics_error() -> None:
    async def test(api: ChatApi) -> None:
        *_, last = await events(api, FORMS["messages"])
        assert last["error"]["type"] == "api_error"
        assert last["request_id"].startswith("req_")

    over(BROKEN["breaks"], BEFORE["refused"]).run(test)


# ── Clients that leave ───────────────────────────────────────────────────────────────────────────


@each_form
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("script", "after"),
    [([HANG], 0.1), (say(ANSWER, gap=1.0), 3.3)],
    ids=["before the first word", "in mid-stream"],
)
def test_a_client_that_leaves_ends_the_upstream_within_a_tenth_of_a_second(
    form: ApiForm, stream: bool, script: Sequence[Step], after: float
) -> None:
    asked = over(script, [HANG])

    async def test(api: ChatApi) -> None:
        assert await left(api, form.path, form.asked(stream=stream), after=after) <= 0.1
        [reply] = api.stage.replies
        assert reply.cancelled

    asked.run(test)
