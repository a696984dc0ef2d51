"""Translates errors of LiveKit's plugins and the vendors' libraries into UpstreamError."""

import re
from collections.abc import Mapping
from typing import Any

from livekit.agents import APIConnectionError, APIError, APIStatusError, llm

from llm_router.errors import BrokenStreamError, UnreachableError, UpstreamError
from llm_router.providers._wire.errors import status_error

_FIRST_ERROR_STATUS = 400
_AWS_STREAM_STATUS = {
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "validationexception": 400,
}
"""The status of errors that Bedrock sends inside a stream; any other one is a broken stream."""
_GEMINI_BLOCKED = ("generation blocked by gemini", '{"block_reason')


def from_livekit(error: APIError, *, begun: bool) -> UpstreamError:
    """Translates an error of LiveKit's; `begun`: the reply had already started.

    LiveKit's message is never passed on: it may hold the server's, and that the caller's words.
    """
    cause = error.__cause__
    response = getattr(cause, "response", None)
    if isinstance(response, Mapping):
        return _from_aws(response)
    detail = error.body if isinstance(error.body, Mapping) else getattr(cause, "body", None)
    if isinstance(error, APIConnectionError) and not isinstance(detail, Mapping):
        return transport_error(type(cause or error).__name__, begun=begun)
    if not isinstance(detail, Mapping | str) or not detail:
        detail = error.body or error.message
    status = error.status_code if isinstance(error, APIStatusError) else 0
    headers = _google_headers(cause) or getattr(response, "headers", None)
    if str(error.message).startswith(_GEMINI_BLOCKED):
        detail = {"error": {"code": "content_filter"}}
    return status_error(status if status >= _FIRST_ERROR_STATUS else 0, detail, headers)


def from_vendor(error: Exception) -> UpstreamError:
    """Translates an error of a vendor's own library that the plugin has not translated."""
    if isinstance(status := getattr(error, "status_code", None), int):
        detail = getattr(error, "body", None)
        headers = getattr(getattr(error, "response", None), "headers", None)
        return status_error(status, detail or "", headers)
    return UnreachableError(f"no answer ({type(error).__name__})")


def empty_reply_reason(error: APIError) -> str | None:
    """Returns the finish reason of an empty reply, which some plugins report as an error."""
    return "stop" if error.message == "no response generated" else None


def restore_cause(event: llm.LLMError) -> None:
    """Restores the vendor's error, which alone holds Retry-After: LiveKit re-raises without it."""
    event.error.__cause__ = event.error.__cause__ or event.error.__context__


def transport_error(kind: str, *, begun: bool) -> UpstreamError:
    if begun:
        return BrokenStreamError(f"the answer broke off ({kind})")
    return UnreachableError(f"no answer ({kind})")


def _from_aws(response: Mapping[str, Any]) -> UpstreamError:
    """Translates botocore's ClientError: a refused request, or an error inside a stream."""
    error, meta = response.get("Error") or {}, response.get("ResponseMetadata") or {}
    code = str(error.get("Code", ""))
    status = meta.get("HTTPStatusCode")
    if not isinstance(status, int) or status < _FIRST_ERROR_STATUS:
        status = _AWS_STREAM_STATUS.get(code.lower(), 0)
    detail = {"error": {"code": code, "message": error.get("Message", "")}}
    return status_error(status, detail, meta.get("HTTPHeaders"))


def _google_headers(cause: BaseException | None) -> Mapping[str, str]:
    """Returns the retry delay as a header: Gemini sends it in the body."""
    delay = re.search(r"'retryDelay': '([\d.]+)s'", str(getattr(cause, "details", "")))
    return {"retry-after": delay[1]} if delay else {}
