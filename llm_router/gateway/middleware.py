"""Wraps every route: headers that all answers carry, and limits for paths, bodies and clients."""

import re
from collections import Counter
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_router.gateway.errors import OPENAI_PATHS, Problem
from llm_router.gateway.rates import client_key

API_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""The headers of an application that serves no page."""

RECORDINGS = "/v1/audio/transcriptions"
_REPORTS = "/observability/"
"""Begin of the paths at which LiveKit agents report."""
_REPORTED_RECORDINGS = "/observability/recordings"
MAX_BODY = 2_000_000
"""Bytes: a file of some thousand connections."""
MAX_CHAT_BODY = 8_000_000
"""Bytes: a conversation with a few images."""
MAX_RECORDING = 26_000_000
"""Bytes: a recording of 25 MB, as much as OpenAI takes, in its form."""


class SecurityHeaders:
    """Adds `headers` to every answer that does not set them itself."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    present.setdefault(name, value)
                if scope["path"].startswith(("/api/", OPENAI_PATHS)):
                    # A shared cache must not keep what one person may see.
                    present.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


_OLDER_CHAT_PATHS = frozenset({"/api/chat", "/api/local-llm/proxy", "/api/local-llm/stream"})
"""Paths besides those below /v1 at which a body may carry images. Their keys are checked before
their bodies are read; FastAPI parses those of other routes first."""


def most_bytes(path: str) -> int:
    """Returns how many bytes a request for the path may have."""
    if path.startswith((RECORDINGS, _REPORTED_RECORDINGS)):
        return MAX_RECORDING
    is_large = path.startswith((OPENAI_PATHS, _REPORTS)) or path in _OLDER_CHAT_PATHS
    return MAX_CHAT_BODY if is_large else MAX_BODY


class BodyLimit:
    """Refuses bodies of more than `most_bytes`, with a Problem (413): at once where the client says
    so, else while they arrive.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        most = most_bytes(scope.get("path", ""))
        declared = dict(scope.get("headers", ())).get(b"content-length", b"0")
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            if declared.isdigit() and int(declared) > most:
                raise _too_long(most)
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise _too_long(most)
            return message

        await self.app(scope, receive_within_limit, send)


def _too_long(most: int) -> Problem:
    detail = f"The body is too long: send at most {most:,} bytes."
    return Problem(413, "body-too-large", detail)


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class PathCheck:
    """Refuses paths with control characters, with a Problem (404).

    Starlette finds a route for a path that ends with a line break; to what else reads paths, limits
    among it, that is another path.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _CONTROL.search(scope["path"]):
            await self.app(scope, receive, send)
            return
        refusal = Problem(
            404, "invalid-path", "The path has a control character, such as %0A: leave it out."
        )
        await refusal.response(scope["path"])(scope, receive, send)


class RequestLimit:
    """Refuses a client's request while `most` of that client are in progress (429)."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.most = most
        self._in_progress: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope.get("client"):
            await self.app(scope, receive, send)
            return
        client = client_key(scope["client"][0])
        if self._in_progress[client] >= self.most:
            refusal = Problem(
                429,
                "busy",
                f"{self.most} requests from your address are in progress: wait until one is done.",
                {"Retry-After": "1"},
            )
            await refusal.response(scope["path"])(scope, receive, send)
            return
        self._in_progress[client] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._in_progress[client] -= 1
            if not self._in_progress[client]:
                del self._in_progress[client]
