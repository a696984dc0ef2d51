"""Tests of the errors that providers raise for refusals and network failures."""

import json

import pytest

from llm_router.errors import (
    StatusError,
    UnreachableError,
    UpstreamError,
)
from llm_router.testing.server import Fault, Script
from tests.contracts.wire import (
    KEY,
    SECRET_WORDS,
    connect,
    http,
    raw_server,
    read,
    reply_to,
    serve,
    sse,
)

# --- Refusals


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "context_length_exceeded"),
        (401, "invalid_api_key"),
        (402, "insufficient_quota"),
        (404, "model_not_found"),
        (429, "rate_limit_exceeded"),
        (500, "internal_error"),
        (503, "overloaded"),
        (529, "overloaded"),
        (418, "error"),
    ],
)
async def test_a_refusal_keeps_the_servers_error_code(status: int, code: str) -> None:
    with pytest.raises(StatusError) as caught:
        await reply_to(Script(fault=Fault.STATUS, status=status))
    assert (caught.value.status, caught.value.code) == (status, code)
    assert caught.value.detail


@pytest.mark.parametrize("status", [400, 401, 402, 404, 418, 429, 500, 503, 529])
async def test_a_refusal_has_its_status(status: int, wire: str) -> None:
    with pytest.raises(StatusError) as caught:
        await reply_to(Script(fault=Fault.STATUS, status=status), provider=wire)
    detail = Script(fault=Fault.STATUS, status=status).error()["error"]["message"]
    assert (caught.value.status, caught.value.detail) == (status, detail)
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["retry-after: 7"], 7.0),
        (["retry-after: 0.5"], 0.5),
        (["retry-after: -3"], 0.0),
        (["retry-after: nan"], 0.0),
        (["retry-after: soon"], None),
        (
            [
                "date: Wed, 21 Oct 2026 07:28:00 GMT",
                "retry-after: Wed, 21 Oct 2026 07:28:30 GMT",
            ],
            30.0,
        ),
        (["retry-after: Wed, 21 Oct 2015 07:28:00 GMT"], 0.0),
        (["date: Wed, 21 Oct 2026 07:28:00 GMT", "retry-after: 1792567710"], 30.0),
        (["date: Wed, 21 Oct 2026 07:28:00 GMT", "retry-after: 1792567710000"], 30.0),
        (
            [
                "date: Wed, 21 Oct 2026 07:28:00 GMT",
                "retry-after: 2026-10-21T07:28:30.000000+00:00",
            ],
            30.0,
        ),
        (["retry-after: 2, 2"], 2.0),
        (['retry-after: "2"'], 2.0),
        (["retry-after: 1m30s"], 90.0),
        (["date: today", "retry-after: Wed, 21 Oct 2026 07:28:30 GMT"], None),
    ],
)
async def test_retry_after_is_seconds_from_now(
    headers: list[str], seconds: float | None, wire: str
) -> None:
    async with (
        raw_server(http("429 Slow", b"{}", *headers)) as url,
        connect(url, provider=wire) as provider,
    ):
        with pytest.raises(StatusError) as caught:
            await read(provider)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "code", "kind", "detail"),
    [
        (b'{"error": "model not loaded"}', "", "", "model not loaded"),
        (b'{"error": {"code": 400, "type": "Bad", "message": "no"}}', "400", "Bad", "no"),
        (b'[{"error": {"code": 429, "message": "slow"}}]', "429", "", "slow"),
        (b'{"object": "error", "message": "no", "type": "BadRequest"}', "", "BadRequest", "no"),
        (b'{"detail": [{"loc": ["body"]}]}', "", "", '[{"loc": ["body"]}]'),
        (b"upstream timed out", "", "", "upstream timed out"),
        (b"", "", "", ""),
        (b"null", "", "", ""),
        (b"[]", "", "", ""),
        (b"\xff\xfe", "", "", "\ufffd\ufffd"),
    ],
)
async def test_errors_are_read_in_every_shape(
    body: bytes, code: str, kind: str, detail: str, wire: str
) -> None:
    async with (
        raw_server(http("400 Bad", body)) as url,
        connect(url, provider=wire) as provider,
    ):
        with pytest.raises(StatusError) as caught:
            await read(provider)
    error = caught.value
    assert (error.status, error.code, error.kind, error.detail) == (400, code, kind, detail)


@pytest.mark.parametrize("body", [b"", b'{"error": "half', b"x" * 200_000])
async def test_an_error_whose_body_never_ends_is_still_reported(body: bytes, wire: str) -> None:
    head = b"HTTP/1.1 503 Busy\r\ncontent-length: 9999999\r\n\r\n"
    async with (
        raw_server(head, body, hold=True) as url,
        connect(url, provider=wire) as provider,
    ):
        with pytest.raises(StatusError) as caught:
            await read(provider)
    assert caught.value.status == 503
    assert len(caught.value.detail) <= 500


# --- The network


async def test_a_refused_server_is_unreachable(wire: str) -> None:
    with pytest.raises(UnreachableError):
        await reply_to(Script(fault=Fault.REFUSE), provider=wire)


async def test_a_connection_closed_before_a_byte_of_the_answer_is_unreachable(wire: str) -> None:
    async with serve(lambda _: Script(fault=Fault.REFUSE), provider=wire) as (server, provider):
        with pytest.raises(UnreachableError):
            await read(provider)
        # Ollama's first request asked for the model: the second goes out on a used connection,
        # and once more on a fresh one.
        assert len(server.requests) == (2 if wire == "ollama" else 1)


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/v1", "http://127.0.0.1:1/v1"])
async def test_an_address_without_a_server_is_unreachable(url: str, wire: str) -> None:
    async with connect(url, provider=wire) as provider:
        with pytest.raises(UnreachableError):
            await read(provider)


async def test_a_server_without_tls_is_unreachable_over_https(wire: str) -> None:
    async with (
        raw_server(b"220 what?\r\n", greets=True) as url,
        connect(url.replace("http:", "https:"), provider=wire) as provider,
    ):
        with pytest.raises(UnreachableError):
            await read(provider)


@pytest.mark.parametrize(
    "answer_",
    [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"],
)
async def test_an_answer_that_is_not_http_is_an_upstream_error(answer_: bytes, wire: str) -> None:
    async with raw_server(answer_) as url, connect(url, provider=wire) as provider:
        with pytest.raises(UpstreamError):
            await read(provider)


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
         "multiple Transfer-Encoding headers"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: identity", "Only Transfer-Encoding: chunked"),
        ("HTTP/1.1 200 OK\r\ncontent-length: x", "bad Content-Length"),
        (f"{SECRET_WORDS}", "illegal status line"),
    ],
)  # fmt: skip
async def test_the_fault_of_an_answer_that_is_not_http_is_named(head: str, fault: str) -> None:
    async with raw_server(f"{head}\r\n\r\n".encode()) as url, connect(url) as provider:
        with pytest.raises(UnreachableError, match=fault) as caught:
            await read(provider)
    assert_nothing_shown(caught.value)


@pytest.mark.parametrize(
    "script",
    [
        sse({"error": {"code": f"{KEY} {SECRET_WORDS}", "message": SECRET_WORDS}}),
        sse(f"not JSON: {SECRET_WORDS}"),
    ],
)
async def test_no_error_repeats_the_key_or_the_callers_words_from_a_servers_text(
    script: Script,
) -> None:
    with pytest.raises(UpstreamError) as caught:
        await reply_to(script)
    assert_nothing_shown(caught.value)


@pytest.mark.parametrize(
    "script",
    [
        Script(fault=Fault.REFUSE),
        Script(fault=Fault.STATUS, status=401),
        Script(fault=Fault.RESET_AFTER),
        Script(fault=Fault.GARBAGE_LINE),
    ],
)
async def test_no_error_holds_the_key_or_the_callers_words(script: Script, wire: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        await reply_to(script, provider=wire)
    assert_nothing_shown(caught.value)


def assert_nothing_shown(error: UpstreamError) -> None:
    for shown in (str(error), repr(error)):
        assert KEY not in shown
        assert SECRET_WORDS not in shown


async def test_a_key_that_a_server_repeats_is_removed(wire: str) -> None:
    body = json.dumps({"error": {"message": f"Incorrect key {KEY}"}}).encode()
    async with (
        raw_server(http("401 No", body)) as url,
        connect(url, provider=wire) as provider,
    ):
        with pytest.raises(StatusError) as caught:
            await read(provider)
    assert KEY not in caught.value.detail
