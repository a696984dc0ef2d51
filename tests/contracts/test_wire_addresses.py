"""Tests of addresses with and without `/v1`, and of what is said of those that lead nowhere."""

import json
from typing import Any

import pytest

from llm_router.classification import classify
from llm_router.connections.record import Connection
from llm_router.errors import StatusError
from llm_router.failures import FailureClass
from llm_router.management.probe import probe
from tests.contracts.byte_server import Answer, Asked, ByteServer, page, said
from tests.contracts.wire import connect, read, text

NOT_FOUND: list[bytes] = [
    page("404 Not Found", b"404 page not found\n"),
    page("404 Not Found", b'{"detail":"Not Found"}'),
    page("404 Not Found", b'{"error":{"type":"not_found_error","message":"Not Found"}}'),
    page("404 Not Found", b'{"status":404,"error":"Not Found","path":"/x"}'),
    page("404 Not Found", b'{"statusCode":404,"message":"Cannot POST /x"}'),
    page("404 Not Found", b"<html><head><title>404 Not Found</title></head><h1>Not Found</h1>"),
    page("404 Not Found"),
    page("405 Method Not Allowed", b'{"detail":"Method Not Allowed"}'),
    page("405 Method Not Allowed"),
]


def only_at(path: str, answer: Answer, missing: Answer = NOT_FOUND[0]) -> Any:
    return lambda asked: answer if asked.path.split("?")[0] == path else missing


@pytest.mark.parametrize("missing", NOT_FOUND)
@pytest.mark.parametrize(
    ("base", "route"),
    [
        ("/inference", "/inference/chat/completions"),
        ("", "/chat/completions"),
        ("/api", "/api/chat/completions"),
        ("/api/v1", "/api/chat/completions"),
        ("/api/v1/", "/api/chat/completions"),
        ("/openai/v1", "/openai/v1/chat/completions"),
        ("/proxy/v2", "/proxy/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/inference/chat/completions", "/inference/chat/completions"),
        ("/serving/chat/completions/", "/serving/v1/chat/completions"),
    ],
)
async def test_the_chat_route_is_found_with_or_without_a_version(
    base: str, route: str, missing: bytes
) -> None:
    async with (
        ByteServer(only_at(route, said("Yes."), missing)) as server,
        connect(server.root + base) as provider,
    ):
        for _ in range(2):
            assert text(await read(provider)) == "Yes."
    assert server.posts[-1].path == route
    assert len(server.posts) <= 3, "what was found is remembered"
    assert all(asked.body["messages"] for asked in server.posts)


async def test_the_query_of_the_address_stays_with_it() -> None:
    async with (
        ByteServer(only_at("/x/chat/completions", said("Yes."))) as server,
        connect(f"{server.root}/x?api-version=7") as provider,
    ):
        assert text(await read(provider)) == "Yes."
    assert server.posts[-1].path == "/x/chat/completions?api-version=7"


async def test_what_was_found_is_shown() -> None:
    async with ByteServer(only_at("/inference/chat/completions", said("Yes."))) as server:
        address = f"{server.root}/inference"
        result = await probe(Connection(name="a", base_url=address, model_name="m"), "Hi")
    assert result.text == "Yes."
    assert f"put {address} into base_url" in result.notice


@pytest.mark.parametrize("missing", NOT_FOUND)
async def test_an_address_that_leads_nowhere_is_named_with_the_cure(
    missing: bytes, wire: str
) -> None:
    async with (
        ByteServer(lambda _: missing) as server,
        connect(f"{server.root}/somewhere", provider=wire) as provider,
    ):
        with pytest.raises(StatusError) as caught:
            await read(provider)
    failure = classify(caught.value, ())
    if wire == "ollama" and missing == page("404 Not Found"):
        return  # it says nothing at all
    assert failure.kind is FailureClass.WRONG_ADDRESS
    assert "base_url" in failure.advice
    assert len(server.posts) <= 2


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("404 Not Found", {"error": {"code": "model_not_found"}}, FailureClass.MODEL_MISSING),
        ("404 Not Found", {"error": "model 'm' not found"}, FailureClass.MODEL_MISSING),
        ("404 Not Found", {"message": "The model `m` does not exist."}, FailureClass.MODEL_MISSING),
        (
            "404 Not Found",
            {"error": {"code": "DeploymentNotFound", "message": "does not exist"}},
            FailureClass.MODEL_MISSING,
        ),
        ("401 Unauthorized", {"error": "no"}, FailureClass.REJECTED_KEY),
        ("400 Bad Request", {"error": "no"}, FailureClass.BAD_REQUEST),
    ],
)
async def test_no_other_address_is_tried_where_the_route_exists(
    status: str, body: Any, kind: FailureClass
) -> None:
    async with (
        ByteServer(lambda _: page(status, json.dumps(body).encode())) as server,
        connect(f"{server.root}/v1") as provider,
    ):
        with pytest.raises(StatusError) as caught:
            await read(provider)
    assert classify(caught.value).kind is kind
    assert len(server.posts) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (page("401 Unauthorized", b'{"error":"no"}'), FailureClass.REJECTED_KEY),
        (page("404 Not Found", b'{"error":"model m not found"}'), FailureClass.MODEL_MISSING),
        (page("503 Busy"), FailureClass.OVERLOADED),
        ("reset", FailureClass.WRONG_ADDRESS),
    ],
)
async def test_the_error_of_the_address_that_has_the_route_is_the_one(
    answer: Answer, kind: FailureClass
) -> None:
    def reply(asked: Asked) -> Answer:
        return answer if asked.path == "/x/chat/completions" else NOT_FOUND[0]

    async with ByteServer(reply) as server, connect(f"{server.root}/x") as provider:
        with pytest.raises(StatusError) as caught:
            await read(provider)
    assert classify(caught.value).kind is kind
