"""Tests of how errors are read: the envelopes that servers write, and the waits that they ask for.

The bodies are made up here in the form of the servers named.
"""

import json
from typing import Any

import pytest

from llm_router.classification import classify
from llm_router.failures import FailureClass
from llm_router.providers._wire.errors import status_error

ERROR = {"message": "no such thing", "code": "odd", "type": "bad", "param": "seed"}
RAW = json.dumps({"error": {"message": "tools are not supported", "param": "tools"}})
PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body>"
XML = "<ErrorResponse><Error><Code>Slow</Code><Message>Wait &amp; see</Message></Error>"
NOTHING: list[Any] = ["", None, [], {}, 7, True, {"error": {}}]
GOOGLE = {
    "error": {
        "code": 400,
        "status": "INVALID_ARGUMENT",
        "message": "Invalid value",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "BAD_FIELD"},
            {"fieldViolations": [{"field": "generation_config.seed", "description": "no"}]},
        ],
    }
}
FASTAPI = {
    "detail": [
        {"type": "missing", "loc": ["body", "model"], "msg": "Field required", "input": "my words"},
        {"type": "extra", "loc": ["body", "seed"], "msg": "Extra inputs", "input": "my words"},
    ]
}


@pytest.mark.parametrize(
    ("body", "code", "kind", "detail", "param"),
    [
        # OpenAI, in a list (Gemini), plain (vLLM of old), as a text (Ollama, TGI)
        ({"error": ERROR}, "odd", "bad", "no such thing", "seed"),
        ([{"error": ERROR}], "odd", "bad", "no such thing", "seed"),
        ({"object": "error", **ERROR}, "odd", "bad", "no such thing", "seed"),
        ({"error": "no tools", "error_type": "validation"}, "", "validation", "no tools", ""),
        # xAI, whose code is a sentence; Anthropic; Azure
        ({"code": "A sentence, not a code", "error": "too long"}, "", "", "too long", ""),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}, "id": "x"},
            *("", "overloaded_error", "Busy", ""),
        ),
        (
            {"error": {"message": "no", "innererror": {"code": "ResponsibleAI"}}},
            *("ResponsibleAI", "", "no", ""),
        ),
        # watsonx, Cloudflare, Apigee, AWS, Tencent, MiniMax, Spark, Baidu, DashScope, problem+json
        ({"errors": [{"code": "invalid", "message": "no"}], "trace": "t"}, "invalid", "", "no", ""),
        ({"success": False, "errors": [{"code": 5007, "message": "no"}]}, "5007", "", "no", ""),
        (
            {"fault": {"faultstring": "no", "detail": {"errorcode": "policies.quota"}}},
            *("policies.quota", "", "no", ""),
        ),
        ({"__type": "ThrottlingException", "Message": "no"}, "ThrottlingException", "", "no", ""),
        ({"Response": {"Error": {"Code": "Odd", "Message": "no"}}}, "Odd", "", "no", ""),
        ({"base_resp": {"status_code": 1004, "status_msg": "no"}}, "1004", "", "no", ""),
        ({"header": {"code": 10013, "message": "no", "sid": "s"}}, "10013", "", "no", ""),
        ({"error_code": 17, "error_msg": "no"}, "17", "", "no", ""),
        ({"code": "Odd", "msg": "no", "request_id": "r"}, "Odd", "", "no", ""),
        ({"type": "about:blank", "title": "no", "status": 400}, "", "about:blank", "no", ""),
        # FastAPI: a sentence, an object, a list of fields, without the caller's input
        ({"detail": "no"}, "", "", "no", ""),
        ({"detail": {"error": ERROR}}, "odd", "bad", "no such thing", "seed"),
        (FASTAPI, "", "missing", "model: Field required; seed: Extra inputs", "model"),
        # Google, OpenRouter, LiteLLM, JSON within JSON, one event of a stream
        (GOOGLE, "400", "BAD_FIELD", "Invalid value", "generation_config.seed"),
        (
            {"error": {"message": "Provider error", "code": 400, "metadata": {"raw": RAW}}},
            *("400", "", "Provider error: tools are not supported", "tools"),
        ),
        (
            {"error": {"message": f"litellm.BadRequestError: {RAW}", "code": "400"}},
            *("400", "", "litellm.BadRequestError: tools are not supported", "tools"),
        ),
        ({"message": json.dumps({"error": ERROR})}, "odd", "bad", "no such thing", "seed"),
        (f"event: error\ndata: {json.dumps({'error': ERROR})}\n\n", *("odd", "bad"), ..., "seed"),
        # no JSON at all
        ("upstream connect error", "", "", "upstream connect error", ""),
        (PAGE, "", "", "502 Bad Gateway", ""),
        (XML, "Slow", "", "Wait & see", ""),
        ("<html><p>no <b>model</b>\nhere</p>", "", "", "no model here", ""),
        # nothing told, or nonsense
        *((body, "", "", "", "") for body in NOTHING),
        ({"error": {"message": 7, "code": {"a": 1}, "type": ["x"], "param": {}}}, "", "", "", ""),
    ],
)
def test_the_same_is_read_from_every_envelope(
    body: Any, code: str, kind: str, detail: Any, param: str
) -> None:
    error = status_error(400, body)
    if detail is not ...:
        assert error.detail == detail
    assert (error.code, error.kind, error.param) == (code, kind, param)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "x" * 100_000, "code": "c" * 1000, "param": "p" * 1000}},
        {"detail": [{"loc": ["body"] * 1000, "msg": "no"}] * 1000},
        "<p>" * 20_000,
        '{"a":' * 5_000,
        "[" * 50_000,
        {"error": {"error": {"error": {"error": {"error": {"error": {"error": "deep"}}}}}}},
        "no{" * 20_000 + "}",
    ],
)
def test_a_body_of_any_size_and_depth_gives_a_short_error(body: Any) -> None:
    error = status_error(500, body)
    assert len(error.detail) <= 500
    assert max(len(error.code), len(error.kind), len(error.param)) <= 60


def test_a_sentence_is_one_line_that_any_log_can_hold() -> None:
    error = status_error(400, {"error": "a\r\nb\x1b[31m\u202ec\u2028d\x00 \ud800 \u200be"})
    assert error.detail == "a b [31m c d ? e"


def test_a_code_that_is_a_sentence_is_left_out() -> None:
    error = status_error(400, {"error": {"code": "you said hello", "param": "my own words"}})
    assert (error.code, error.param) == ("", "")


NOW = "Wed, 21 Oct 2026 07:28:00 GMT"
EPOCH = 1_792_567_680  # the same moment
USED_UP = {"x-ratelimit-remaining-tokens": "0", "date": NOW}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "20", "retry-after": "7"}, 0.02),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after": "2s"}, 2.0),
        ({**USED_UP, "x-ratelimit-reset-tokens": "1m26.4s"}, 86.4),
        ({**USED_UP, "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({**USED_UP, "x-ratelimit-reset-tokens": "12"}, 12.0),
        ({**USED_UP, "x-ratelimit-reset-tokens": str(EPOCH + 9)}, 9.0),
        ({**USED_UP, "x-ratelimit-reset-tokens": str((EPOCH + 9) * 1000)}, 9.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "3"}, 3.0),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-reset-tokens": "6m0s"}, None),
        ({**USED_UP, "x-ratelimit-reset-tokens": "2026-10-21T07:28:30Z"}, 30.0),
        ({**USED_UP, "x-ratelimit-reset-tokens": "2026-10-21T07:28:30"}, None),
        (
            {
                "anthropic-ratelimit-tokens-remaining": "0",
                "date": NOW,
                "anthropic-ratelimit-tokens-reset": "2026-10-21T07:28:30Z",
            },
            30.0,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "7"}, 7.0),
        ({**USED_UP, "x-ratelimit-reset-tokens": "later"}, None),
        ({}, None),
    ],
)
def test_waits_are_read_from_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert status_error(429, "", headers).retry_after == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ("Please try again in 7.66s.", 7.66),
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 1m26.4s. Need more tokens?", 86.4),
        ("Please retry in 38.863719904s.", 38.863719904),
        ("Please retry after 26 seconds.", 26.0),
        ("Please wait 12 seconds before the next request", 12.0),
        ("Try again in 2 minutes", 120.0),
        ("Please wait 500 milliseconds", 0.5),
        ({"detail": {"retryAfterSeconds": 4}}, 4.0),
        ("Your quota will reset after 1h2m3s.", 3723.0),
        ("请求过于频繁，请等待 3 秒后重试", 3.0),
        ("Limit 6000, Used 5034, Requested 1443 in 1m", None),
        ("Try again later", None),
        ({"error": {"message": "no", "details": [{"retryDelay": "34s"}]}}, 34.0),
        ({"error": {"message": "no", "details": [{"retryDelay": "0.5s"}]}}, 0.5),
        ({"error": "no", "retry_after": 12}, 12.0),
        ({"error": {"message": "no", "retry_after": 1.5}}, 1.5),
        ({"error": {"message": "no", "retryAfter": "3"}}, 3.0),
        ({"error": {"message": "no", "retry_after_seconds": 4}}, 4.0),
        ({"error": "no", "retry_after_ms": 1200}, 1.2),
        ({"error": {"message": "no", "retry_after": "soon"}}, None),
        ({"error": {"message": "no", "retry_after": -1}}, 0.0),
        ({"error": {"message": "no", "retry_after": float("nan")}}, 0.0),
        ({"error": {"message": "no", "retry_after": None}}, None),
    ],
)
def test_waits_are_read_from_bodies(body: Any, seconds: float | None) -> None:
    assert status_error(429, body).retry_after == pytest.approx(seconds)


def test_a_limit_that_a_go_between_passes_on_is_heeded() -> None:
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str((EPOCH + 5) * 1000)}
    body = {"error": {"message": "no", "code": 429, "metadata": {"headers": reset}}}
    assert status_error(429, body, {"date": NOW}).retry_after == 5.0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"errors": [{"message": "the number of input tokens 5000 cannot exceed 4096"}]}),
        (400, {"code": "Odd", "error": "This model's maximum prompt length is 131072 but"}),
        (400, {"error": {"code": "1261", "message": "Prompt"}}),
        (400, {"error_code": 336007, "error_msg": "no"}),
        (413, ""),
        (413, PAGE.replace("502 Bad Gateway", "413 Request Entity Too Large")),
        (400, {"error": {"message": "x", "metadata": {"raw": '{"message":"prompt is too long"}'}}}),
    ],
)
def test_a_request_that_is_too_long_is_recognised_in_every_envelope(status: int, body: Any) -> None:
    assert classify(status_error(status, body)).kind is FailureClass.TOO_LONG
