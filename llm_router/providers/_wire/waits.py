"""Reads how long to wait before asking again: from headers, fields or sentences of an error."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from llm_router.clock import utc_now

_MILLISECONDS = 0.001  # s
_EPOCH = 1_000_000_000
"""A larger number is a time in seconds since 1970; a thousand times larger, in milliseconds."""
_DEPTH = 4
_LONGEST = 40  # characters of a duration

_IN_MS = ("retry-after-ms", "x-ms-retry-after-ms")
_FIELDS = {
    "retrydelay": 1.0,  # Google's RetryInfo
    "retry_after": 1.0,
    "retryafter": 1.0,
    "retry_after_seconds": 1.0,
    "retryafterseconds": 1.0,
    "wait_seconds": 1.0,
    "estimated_time": 1.0,  # Hugging Face, until a model is loaded
    "retry_after_ms": _MILLISECONDS,
    "retryafterms": _MILLISECONDS,
}
_LIMITS = ("-requests", "-tokens", "")
"""Limits of which a server may say how much is left and when there is more."""
_ANTHROPIC_LIMITS = tuple(
    f"anthropic-ratelimit-{kind}" for kind in ("requests", "tokens", "input-tokens")
)

_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|毫秒|s|secs?|seconds?|秒|m|mins?|minutes?|分钟|h|hours?|小时)"
    r"(?![a-z])",
    re.IGNORECASE,
)
_SECONDS = {"ms": 0.001, "mil": 0.001, "mi": 60.0, "m": 60.0, "h": 3600.0, "s": 1.0}
_SECONDS |= {"毫": 0.001, "秒": 1.0, "分": 60.0, "小": 3600.0}
_SENTENCE = re.compile(
    r"(?:try again|retry|wait|reset|available again|重试|等待)[^\d\n]{0,40}?"
    rf"((?:{_PART.pattern}\s*)+)",
    re.IGNORECASE,
)


def wait_given(headers: Mapping[str, str], payload: Any, detail: str) -> float | None:
    """Returns the seconds that the server asks to wait; None where it says nothing of it."""
    now = _server_time(headers)
    for name in _IN_MS:
        with suppress(ValueError, KeyError):
            return _bounded(float(headers[name]) * _MILLISECONDS)
    if (wait := _retry_after(headers.get("retry-after", "").strip(), now)) is not None:
        return wait
    for name, value in _fields(payload, _DEPTH):
        if (wait := _duration(value, _FIELDS[name], now)) is not None:
            return wait
    if (found := _SENTENCE.search(detail)) and (wait := _sum(found[1])) is not None:
        return wait
    return _until_reset({**_headers_within(payload), **headers}, now)


def _retry_after(value: str, now: datetime | None) -> float | None:
    """Returns the seconds to wait, by the server's own clock where the reply has a date."""
    value = value.strip("\"'")
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(value)
        return max(0.0, (until - now).total_seconds()) if now else None
    return _duration(value.partition(",")[0], 1.0, now)  # some proxies give it twice


def _until_reset(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Returns when a limit that is used up allows more: `x-ratelimit-reset-tokens: 1m26.4s`."""
    names = [
        (f"{prefix}-remaining{limit}", f"{prefix}-reset{after}{limit}")
        for limit in _LIMITS
        for prefix in ("x-ratelimit", "ratelimit")
        for after in ("", "-after")
    ]
    names += [(f"{kind}-remaining", f"{kind}-reset") for kind in _ANTHROPIC_LIMITS]
    waits = [
        _duration(headers.get(reset), 1.0, now)
        for remaining, reset in names
        if headers.get(remaining) == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _duration(value: Any, unit: float, now: datetime | None) -> float | None:
    """Returns a duration written as a number, as `34s`, or as a time since 1970."""
    with suppress(ValueError, TypeError):
        number = float(value)
        if not _EPOCH <= number < math.inf:
            return _bounded(number * unit)
        since = number * _MILLISECONDS if number >= _EPOCH * 1000 else number
        return max(0.0, since - now.timestamp()) if now else None
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    with suppress(ValueError, TypeError):  # also of a time without a zone
        until = datetime.fromisoformat(value)
        return max(0.0, (until - now).total_seconds()) if now else None
    return _sum(value)


def _sum(text: str) -> float | None:
    parts = [(float(n), unit.lower()) for n, unit in _PART.findall(text)]
    if not parts:
        return None
    return sum(
        n * (_SECONDS.get(unit[:3]) or _SECONDS.get(unit[:2]) or _SECONDS[unit[0]])
        for n, unit in parts
    )


def _bounded(seconds: float) -> float:
    return seconds if 0 <= seconds < float("inf") else 0.0


def _server_time(headers: Mapping[str, str]) -> datetime | None:
    if "date" not in headers:
        return utc_now()
    try:
        return parsedate_to_datetime(headers["date"])
    except (ValueError, TypeError):
        return None


def _fields(payload: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yields the fields that hold a wait, wherever they stand."""
    inner: list[Any] = []
    if isinstance(payload, Mapping):
        for name, value in payload.items():
            if (known := str(name).lower().replace("-", "_")) in _FIELDS:
                yield known, value
        inner = list(payload.values())
    elif isinstance(payload, list):
        inner = payload
    for value in inner[:20] if depth else ():
        yield from _fields(value, depth - 1)


def _headers_within(payload: Any) -> dict[str, str]:
    """Returns the headers that OpenRouter passes on inside its error."""
    with suppress(KeyError, TypeError, AttributeError):
        within = payload["error"]["metadata"]["headers"]
        return {str(name).lower(): str(value) for name, value in within.items()}
    return {}
