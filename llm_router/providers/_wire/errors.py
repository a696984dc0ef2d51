"""Builds a StatusError from the body of an error, in any of the shapes that servers write."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from llm_router.errors import StatusError
from llm_router.providers._wire.characters import mend
from llm_router.providers._wire.waits import wait_given

_DETAIL_LENGTH = 500  # characters
_CODE_LENGTH = 60  # characters
_PAGE_LENGTH = 4000  # characters of a web page that are read
_DEPTH = 6
"""Objects within objects that are looked into; no server nests its sentence deeper."""
_ITEMS = 3
"""Errors of a list that are read; the first says most."""

# The names of fields, most telling first.
_INNER = (
    *("error", "errors", "Error", "fault", "detail", "Response", "base_resp", "header"),
    "message",
)
"""Where an object holds the error itself: OpenAI and most others, watsonx and Cloudflare, AWS and
Tencent, Apigee, FastAPI, MiniMax, Spark, Mistral."""
_MESSAGES = (
    *("message", "Message", "msg", "error_msg", "error_message", "errorMessage", "status_msg"),
    *("detail", "error_description", "faultstring", "title", "description", "error"),
)
_CODES = (
    *("code", "Code", "error_code", "errorCode", "errorcode", "err_code", "status_code"),
    *("innererror", "__type"),
)
_KINDS = ("type", "error_type", "errorType", "status", "name")
_PARAMS = ("param", "parameter", "field")
_SAYS_NOTHING = frozenset({"error", "failed", "failure", "fail", "null", "none"})
"""Values of a type that every error has."""

_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_PAGE_TEXT = re.compile(r"<(title|h1|h2|p)\b[^>]*>(.*?)</\1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_NAME = re.compile(r"[\w.\[\]$-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """The fields of a body, under the names that OpenAI gives them."""

    code: str = ""
    kind: str = ""
    detail: str = ""
    param: str = ""

    def over(self, outer: "_Parsed") -> "_Parsed":
        """Returns these values, with those of the object around it where there are none."""
        return _Parsed(
            self.code or outer.code,
            self.kind or outer.kind,
            self.detail or outer.detail,
            self.param or outer.param,
        )


def status_error(
    status: int, payload: Any, headers: Mapping[str, str] | None = None
) -> StatusError:
    """Builds the error from a body in any of the usual shapes; `payload` is JSON or plain text."""
    parsed = _read(payload, _DEPTH)
    return StatusError(
        status,
        code=parsed.code,
        kind=parsed.kind,
        detail=parsed.detail,
        param=parsed.param,
        retry_after=wait_given(headers or {}, payload, parsed.detail),
    )


def _read(payload: Any, depth: int) -> _Parsed:
    if not depth:
        return _Parsed()
    if isinstance(payload, str):
        return _read_text(payload, depth)
    if isinstance(payload, Mapping):
        return _read_object(payload, depth)
    if isinstance(payload, Sequence) and not isinstance(payload, bytes):
        return _read_list(payload, depth)
    return _Parsed()


def _read_text(text: str, depth: int) -> _Parsed:
    """Reads a sentence, a web page, XML, or JSON within the text, as proxies pass it on."""
    text = text.strip()
    if text.startswith("<"):
        return _read_markup(text)
    start, end = text.find("{"), text.rfind("}") + 1
    if 0 <= start < end:
        with suppress(ValueError, RecursionError):
            inner = _read(json.loads(text[start:end]), depth - 1)
            if inner.detail:
                before = text[:start].rsplit("data:", 1)[0]  # that of an event stream says nothing
                return replace(inner, detail=_clean(f"{before} {inner.detail}"))
    return _Parsed(detail=_clean(text))


def _read_markup(text: str) -> _Parsed:
    text = text[:_PAGE_LENGTH]
    fields = {name: _element(text, name) for name in ("Code", "Message", "message")}
    if said := fields["Message"] or fields["message"]:
        return _Parsed(code=_label(fields["Code"]), detail=said)
    parts = [_clean(_TAG.sub(" ", part)) for _, part in _PAGE_TEXT.findall(text)]
    said = ". ".join(filter(None, dict.fromkeys(parts))) or _TAG.sub(" ", text)
    return _Parsed(detail=_clean(html.unescape(said)))


def _element(text: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", text)
    return _clean(html.unescape(found[1])) if found else ""


def _read_list(payload: Sequence[Any], depth: int) -> _Parsed:
    """Reads the first error; of several rejected fields, as FastAPI lists them, a few."""
    first, *others = [_read(item, depth - 1) for item in payload[:_ITEMS]] or [_Parsed()]
    sentences = [first.detail, *(parsed.detail for parsed in others)]
    return replace(first, detail=_clean("; ".join(filter(None, sentences))))


def _read_object(payload: Mapping[str, Any], depth: int) -> _Parsed:
    parsed = _Parsed(
        code=_label(_first(payload, _CODES)),
        kind=_kind(_first(payload, _KINDS)),
        detail=_clean(_first(payload, _MESSAGES, str)),
        param=_param(payload),
    )
    if parsed.detail and "{" in parsed.detail:
        parsed = _read_text(_first(payload, _MESSAGES, str), depth - 1).over(parsed)
    if parsed.param and isinstance(payload.get("loc"), list):
        parsed = replace(
            parsed, detail=_clean(f"{parsed.param}: {parsed.detail}".removesuffix(": "))
        )
    for name in _INNER:
        inner = payload.get(name)
        if isinstance(inner, Mapping | list) and inner:
            parsed = _read(inner, depth - 1).over(parsed)
            if name == "detail" and not parsed.detail:
                parsed = replace(parsed, detail=_clean(json.dumps(inner)))
            break
    return _with_extras(parsed, payload, depth)


def _with_extras(parsed: _Parsed, payload: Mapping[str, Any], depth: int) -> _Parsed:
    """Adds what stands beside the sentence: Google's details, the raw error behind OpenRouter."""
    details = payload.get("details")
    for item in details[:_DEPTH] if isinstance(details, list) else ():
        if isinstance(item, Mapping):
            parsed = replace(parsed, kind=_label(item.get("reason")) or parsed.kind)
            violations = item.get("fieldViolations")
            if isinstance(violations, list):
                parsed = replace(parsed, param=parsed.param or _read(violations, depth - 1).param)
    metadata = payload.get("metadata")
    if isinstance(metadata, Mapping) and (raw := _read(metadata.get("raw"), depth - 1)).detail:
        parsed = replace(
            parsed, kind=parsed.kind or raw.kind or raw.code, param=parsed.param or raw.param,
            detail=_clean(f"{parsed.detail}: {raw.detail}"),
        )  # fmt: skip
    return parsed


def _first(payload: Mapping[str, Any], names: Sequence[str], type_: Any = (str, int)) -> Any:
    for name in names:
        value = payload.get(name)
        if isinstance(value, Mapping) and name == "innererror":
            value = value.get("code")
        if isinstance(value, type_) and value not in {"", 0} and not isinstance(value, bool):
            return value
    return ""


def _param(payload: Mapping[str, Any]) -> str:
    """Returns the name of the parameter that the server objects to; FastAPI gives its path."""
    path = payload.get("loc")
    if isinstance(path, list):
        name = ".".join(str(part) for part in path[:_DEPTH] if part != "body")
    else:
        name = str(_first(payload, _PARAMS, str))
    return name if len(name) <= _CODE_LENGTH and _NAME.fullmatch(name) else ""


def _label(value: Any) -> str:
    """Returns a code only if it is one short word, so that no one's sentence is in an error."""
    text = mend(str(value).strip()) if isinstance(value, str | int) else ""
    return text if len(text) <= _CODE_LENGTH and not any(c.isspace() for c in text) else ""


def _kind(value: Any) -> str:
    text = _label(value)
    return text if text.lower() not in _SAYS_NOTHING and not text.isdigit() else ""


def _clean(text: Any) -> str:
    """Returns one bounded line without control characters, fit for a log."""
    line = _UNSEEN.sub(" ", str(text)[: 4 * _DETAIL_LENGTH]).strip()[:_DETAIL_LENGTH]
    return line.encode(errors="replace").decode()
