"""What LiveKit's plugins and the vendors' libraries raise, in the router's words."""

import re
from collections.abc import Mapping
from typing import Any

from livekit.agents import APIConnectionError, APIError, APIStatusError, llm

from llm_router.errors import BrokenStreamError, UnreachableError, UpstreamError
from llm_router.providers._wire.reply import status_error

_LEAST_STATUS = 400
_AWS_INSIDE = {
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "validationexception": 400,
}
"""The status of an error that Bedrock tells in a stream; of another, the stream is broken."""


def in_our_words(error: APIError, *, begun: bool) -> UpstreamError:
    """No message of LiveKit's is shown: it may hold the server's, and that the caller's words."""
    cause = error.__cause__
    if isinstance(told := getattr(cause, "response", None), Mapping):
        return _of_aws(told)
    said = error.body if isinstance(error.body, Mapping) else getattr(cause, "body", None)
    if isinstance(error, APIConnectionError) and not isinstance(said, Mapping):
        return transport_error(type(cause or error).__name__, begun=begun)
    if not isinstance(said, Mapping | str) or not said:
        said = error.body or error.message
    status = error.status_code if isinstance(error, APIStatusError) else 0
    headers = _of_google(cause) or getattr(told, "headers", None)
    if str(error.message).startswith(_BLOCKED):
        said = {"error": {"code": "content_filter"}}
    return status_error(status if status >= _LEAST_STATUS else 0, said, headers)


def of_vendor(error: Exception) -> UpstreamError:
    """An error of a vendor's own library, which no plugin has put into LiveKit's words."""
    if isinstance(status := getattr(error, "status_code", None), int):
        said = getattr(error, "body", None)
        headers = getattr(getattr(error, "response", None), "headers", None)
        return status_error(status, said or "", headers)
    return UnreachableError(f"no answer ({type(error).__name__})")


def finished_with_nothing(error: APIError) -> str | None:
    """The finish reason of an answer that held nothing, where a plugin makes an error of that."""
    return "stop" if error.message == "no response generated" else None


def keep_cause(event: llm.LLMError) -> None:
    """LiveKit raises an error anew and so loses the vendor's, which alone knows Retry-After."""
    event.error.__cause__ = event.error.__cause__ or event.error.__context__


def transport_error(kind: str, *, begun: bool) -> UpstreamError:
    if begun:
        return BrokenStreamError(f"the answer broke off ({kind})")
    return UnreachableError(f"no answer ({kind})")


_BLOCKED = ("generation blocked by gemini", '{"block_reason')


def _of_aws(told: Mapping[str, Any]) -> UpstreamError:
    """A ClientError of botocore's: refused, or told in the middle of a stream."""
    error, meta = told.get("Error") or {}, told.get("ResponseMetadata") or {}
    code = str(error.get("Code", ""))
    status = meta.get("HTTPStatusCode")
    if not isinstance(status, int) or status < _LEAST_STATUS:
        status = _AWS_INSIDE.get(code.lower(), 0)
    said = {"error": {"code": code, "message": error.get("Message", "")}}
    return status_error(status, said, meta.get("HTTPHeaders"))


def _of_google(cause: BaseException | None) -> Mapping[str, str]:
    """Gemini tells in the body when to come again."""
    waits = re.search(r"'retryDelay': '([\d.]+)s'", str(getattr(cause, "details", "")))
    return {"retry-after": waits[1]} if waits else {}
