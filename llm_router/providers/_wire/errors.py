"""Builds a StatusError from the body of an error, in any of the shapes that servers write."""

import json
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

from llm_router.clock import utc_now
from llm_router.errors import StatusError

_DETAIL_LENGTH = 500  # characters
_CODE_LENGTH = 60  # characters


def status_error(
    status: int, payload: Any, headers: Mapping[str, str] | None = None
) -> StatusError:
    """Builds the error from a body in any of the usual shapes; `payload` is JSON or plain text."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    error = payload.get("error", payload) if isinstance(payload, dict) else payload
    if not isinstance(error, dict):
        error = {"message": error}
    detail = error.get("message") or error.get("detail") or ""
    return StatusError(
        status,
        code=_label(error.get("code")),
        kind=_label(error.get("type")),
        detail=(detail if isinstance(detail, str) else json.dumps(detail))[:_DETAIL_LENGTH],
        retry_after=_retry_after(headers or {}),
    )


def _label(value: Any) -> str:
    """Returns a code only if it is one short word, so that no one's sentence is in an error."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if len(text) <= _CODE_LENGTH and not any(c.isspace() for c in text) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds to wait, by the server's own clock where the reply has a date."""
    value = headers.get("retry-after", "").strip()
    with suppress(ValueError):
        seconds = float(value)
        return seconds if 0 <= seconds < float("inf") else 0.0
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else utc_now()
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None
