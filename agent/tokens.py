"""Serves `POST /token`: LiveKit's standard token endpoint, which leaves a visitor no choices.

https://docs.livekit.io/frontends/build/authentication/endpoint.md. The server chooses identity,
room, grants and agent: a client that could choose them could listen in on other calls or start any
agent. Of a request only `participant_name` (shortened), `room_name` (of a room that the site
shares) and, beyond the standard, `continuation` are used; identity, metadata, attributes and
room_config are accepted, as the standard asks, and ignored.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import jwt
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agent.livekit_server import LiveKitError, LiveKitUnavailableError
from agent.reception import Reception
from agent.visits import MAX_LENGTH, Continuations
from llm_router.clock import SystemClock
from llm_router.gateway.deps import own_origins
from llm_router.gateway.errors import Problem, invalid_request
from llm_router.gateway.openapi import problems
from llm_router.gateway.rates import RateLimit, client_key, client_of

MAX_NAME_LENGTH = 64
MAX_BODY_BYTES = 8192
"""Enough for the standard's metadata and attributes, although they are ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    server_url: str
    """LiveKit's address, as browsers reach it."""
    api_key: str
    api_secret: str = field(repr=False)
    ttl: int
    """Seconds for which a token can be used to join."""
    rate_limit: RateLimit
    """Limit per client address."""
    allowed_origins: Collection[str] = ()
    """Other sites whose pages may request tokens, each as `https://host[:port]`."""
    assistants: Sequence[str] = ()
    """Assistants that a visitor may name; the first one is for those who name none."""


class TokenRequest(BaseModel):
    """The standard's request, in snake or camel case; other fields are ignored."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)
    room_name: str | None = None
    participant_name: str | None = None
    continuation: str | None = Field(default=None, max_length=MAX_LENGTH)
    """The `continuation` of an earlier answer, to be the same visitor in the same room."""
    assistant: str | None = None
    """The assistant for a new call. One that the site does not offer is ignored."""


async def _read_body(request: Request) -> TokenRequest:
    """Reads the request's body, which may be empty. Raises Problem (413, 422)."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise Problem(
                413,
                "body-too-large",
                f"The body is too long: send at most {MAX_BODY_BYTES} bytes.",
            )
    try:
        return TokenRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise invalid_request(error.errors()) from None


class TokenResponse(BaseModel):
    server_url: str
    participant_token: str
    continuation: str
    """Proof of who the visitor is and which room is theirs; send it along to return there."""


def mint_token(
    *,
    api_key: str,
    api_secret: str,
    identity: str,
    name: str,
    room: str,
    ttl: int,
    now: float,
) -> str:
    """Makes a token to join one room and talk there; `now` is in seconds since 1970.

    It calls no agent. livekit.api.AccessToken is not used: it reads the clock itself, and its
    defaults grant more than a visitor needs.
    """
    claims = {
        "iss": api_key,
        "sub": identity,
        "name": name,
        "nbf": int(now),
        "exp": int(now) + ttl,
        "video": {
            "roomJoin": True,
            "room": room,
            "canPublish": True,
            "canPublishSources": ["microphone"],
            "canPublishData": True,
            "canSubscribe": True,
            "canUpdateOwnMetadata": False,
            "hidden": False,
        },
    }
    return jwt.encode(claims, api_secret, algorithm="HS256")


def display_name(requested: str | None) -> str:
    """Cleans a name for display: one line of at most 64 characters, none of them invisible."""
    visible = (" " if unicodedata.category(c)[0] in "CZ" else c for c in requested or "")
    return " ".join("".join(visible).split())[:MAX_NAME_LENGTH].strip()


def offered(requested: str | None, options: TokenOptions) -> str:
    """Returns the assistant of a visitor's call; empty: the default one."""
    if requested in options.assistants:
        return str(requested)
    return options.assistants[0] if options.assistants else ""


def problem_of(error: LiveKitError) -> Problem:
    """Makes the HTTP answer for an error of LiveKit: 502 for a wrong setting, 503 for an outage."""
    if isinstance(error, LiveKitUnavailableError):
        return Problem(503, "voice-server-unavailable", str(error))
    return Problem(502, "voice-server-refused", str(error))


class _Gate:
    """Dependency of the route: checks the request's origin, counts it against the limit, and
    returns the client's address, as it is counted.
    """

    def __init__(self, allowed_origins: Collection[str], rate_limit: RateLimit) -> None:
        self._allowed = frozenset(allowed_origins)
        self._limit = rate_limit

    async def __call__(self, request: Request) -> str:
        self._check_origin(request)
        client = client_key(client_of(request))
        await self._limit.hit(client)
        return client

    def _check_origin(self, request: Request) -> None:
        # Without an Origin header it is no browser, or a page of this server itself.
        origin = request.headers.get("origin", "").lower()
        if origin and origin not in self._allowed | own_origins(request):
            raise Problem(
                403,
                "origin-not-allowed",
                "This site may not call here: its origin must be listed in the setting"
                " ALLOWED_ORIGINS.",
            )


def token_router(options: TokenOptions, reception: Reception) -> APIRouter:
    """Makes the route. It answers 201, or raises Problem (403, 413, 422, 429, 502, 503)."""
    router = APIRouter()
    gate = _Gate(options.allowed_origins, options.rate_limit)
    continuations = Continuations(options.api_secret)
    clock = SystemClock()

    content = {"application/json": {"schema": TokenRequest.model_json_schema()}}

    # The body is read last, by `_read_body`, so that a refused client sends nothing for nothing.
    @router.post(
        "/token",
        status_code=201,
        tags=["calls"],
        operation_id="createToken",
        responses=problems(403, 413, 422, 429, 502, 503),
        openapi_extra={"requestBody": {"content": content}},
    )
    async def token(
        client: Annotated[str, Depends(gate)],
        body: Annotated[TokenRequest, Depends(_read_body)],
        response: Response,
    ) -> TokenResponse:
        """Makes a token for a call of your own, which the agent joins.

        In a `continuation` you return to your own room, as long as it is open.
        """
        earlier = continuations.read(body.continuation, clock.wall())
        try:
            visit = await reception.receive(
                earlier, body.room_name, client, assistant=offered(body.assistant, options)
            )
        except LiveKitError as error:
            raise problem_of(error) from None
        response.headers["Cache-Control"] = "no-store"
        participant_token = mint_token(
            api_key=options.api_key,
            api_secret=options.api_secret,
            identity=visit.identity,
            name=display_name(body.participant_name),
            room=visit.room,
            ttl=options.ttl,
            now=clock.wall(),
        )
        return TokenResponse(
            server_url=options.server_url,
            participant_token=participant_token,
            continuation=continuations.sign(visit, clock.wall()),
        )

    return router
