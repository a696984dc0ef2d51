"""Routes that LiveKit agents report to, where `LIVEKIT_OBSERVABILITY_URL` names this process."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, Request, Response

from agent.insights.sessions import Sessions
from agent.insights.spans import SessionNews, UnreadableError, read_logs, read_traces
from llm_router.errors import ForbiddenError
from llm_router.gateway.deps import Deps, Services, admit, find_key
from llm_router.gateway.errors import Problem
from llm_router.gateway.openapi import problems
from llm_router.gateway.rates import RateLimit, client_of

MOST = 8_000_000
"""Bytes of a request, once it is decompressed."""
_API_KEY = "pb_"
"""Begin of each API key of ours."""
_LIVEKIT = "livekit"
"""Name of the senders that have the keys of our LiveKit server."""
_PROTOBUF = "application/x-protobuf"
_BODY: Mapping[str, Any] = {
    "required": True,
    "content": {_PROTOBUF: {"schema": {"type": "string", "format": "binary"}}},
}
_REPORT: Mapping[str, Any] = {
    "responses": problems(401, 403, 413, 422, 429),
    "openapi_extra": {"requestBody": _BODY},
    "response_class": Response,
}
"""How each route describes itself."""
Read = Callable[[bytes], Sequence[SessionNews]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightOptions:
    """`api_key`, `api_secret`: of our LiveKit server. `rate`: requests of each sender."""

    api_key: str
    api_secret: str = field(repr=False)
    rate: RateLimit


def insights_router(options: InsightOptions, sessions: Sessions) -> APIRouter:
    """Makes the routes that an agent's exporters call, with LiveKit's own paths."""
    router = APIRouter(prefix="/observability", tags=["calls"])
    sender = _sender(options)

    async def store(name: str, request: Request, read: Read) -> Response:
        body = await _body(request)
        try:
            found = await asyncio.to_thread(read, body)
        except UnreadableError:
            raise Problem(
                422, "unreadable-telemetry", "Send OTLP over HTTP, as protobuf."
            ) from None
        for news in found:
            await sessions.note(name, news)
        return Response(status_code=200, media_type=_PROTOBUF)

    @router.post("/traces/otlp/v0", operation_id="reportTraces", **_REPORT)
    async def report_traces(request: Request, name: Annotated[str, Depends(sender)]) -> Response:
        """Stores the turns of an agent's sessions, from its traces (OTLP)."""
        return await store(name, request, read_traces)

    @router.post("/logs/otlp/v0", operation_id="reportLogs", **_REPORT)
    async def report_logs(request: Request, name: Annotated[str, Depends(sender)]) -> Response:
        """Stores the end of an agent's sessions and their history, from its logs (OTLP)."""
        return await store(name, request, read_logs)

    @router.post("/metrics/otlp/v0", operation_id="reportMetrics", **_REPORT)
    async def report_metrics(request: Request, _: Annotated[str, Depends(sender)]) -> Response:
        """Accepts an agent's metrics, and stores nothing: its turns have their times."""
        await _read_all(request)
        return Response(status_code=200, media_type=_PROTOBUF)

    @router.post("/recordings/v0", operation_id="reportRecording", **_REPORT)
    async def report_recording(request: Request, _: Annotated[str, Depends(sender)]) -> Response:
        """Accepts a recording, and stores nothing of it."""
        await _read_all(request)
        return Response(status_code=200)

    return router


def _sender(options: InsightOptions) -> Callable[..., Awaitable[str]]:
    async def sender(request: Request, deps: Deps) -> str:
        """Returns the name of the sender: of its API key, or that of our LiveKit server.

        Raises Problem (401, 429), and ForbiddenError for a viewer's key.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        if not token.startswith(_API_KEY) and _is_of_livekit(token, options, deps.clock.wall()):
            name = _LIVEKIT
        else:
            name = await _key_name(deps, request, token)
        await options.rate.hit(name)
        return name

    return sender


async def _key_name(deps: Services, request: Request, token: str) -> str:
    client = client_of(request)
    key = await find_key(deps, token, client)
    await admit(deps, key, request.scope["path"])
    if key.actor(origin=client).role == "viewer":
        raise ForbiddenError("a viewer's key may not report sessions: use one of the role worker")
    return f"key {key.id}"


def _is_of_livekit(token: str, options: InsightOptions, now: float) -> bool:
    """Returns whether LiveKit's SDK has made the token, with our server's keys, for reports."""
    try:
        claims = jwt.decode(
            token,
            options.api_secret,
            algorithms=["HS256"],
            issuer=options.api_key,
            options={"require": ["exp", "iss"], "verify_exp": False, "verify_nbf": False},
        )
    except jwt.InvalidTokenError:
        return False
    grants = claims.get("observability")
    is_valid = isinstance(claims["exp"], int | float) and claims["exp"] > now
    return is_valid and isinstance(grants, dict) and grants.get("write") is True


async def _body(request: Request) -> bytes:
    """Returns the body, decompressed. Raises Problem (413, 422)."""
    body = await request.body()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "gzip":
        return await asyncio.to_thread(_unzip, body)
    if encoding != "identity":
        raise Problem(422, "unreadable-telemetry", "Send the body as it is, or with gzip.")
    return body


def _unzip(body: bytes) -> bytes:
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = unzip.decompress(body, MOST)
    except zlib.error:
        raise Problem(422, "unreadable-telemetry", "The body is no gzip.") from None
    if unzip.unconsumed_tail:
        detail = f"The body is too long: send at most {MOST:,} bytes, counted without gzip."
        raise Problem(413, "body-too-large", detail)
    return found


async def _read_all(request: Request) -> None:
    async for _ in request.stream():
        """Left unread, the connection would be closed under the sender."""
