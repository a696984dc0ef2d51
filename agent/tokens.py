"""`POST /token`: LiveKit's standard token endpoint, with nothing left for a visitor to decide.

https://docs.livekit.io/frontends/build/authentication/endpoint.md. The server chooses identity,
room, grants and agent: a client that could choose them could listen in on other calls or start any
agent. Of a request only `room_name` (of a public room) and `participant_name` (shortened) count;
identity, metadata, attributes and room_config are accepted, as the standard wants, and ignored.
"""

import asyncio
import logging
import re
import secrets
import time
import unicodedata
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Self

import aiohttp
import jwt
from fastapi import APIRouter, Depends, Request, Response
from google.protobuf.message import DecodeError
from livekit import api
from livekit.protocol.agent import JobStatus
from livekit.protocol.agent_dispatch import AgentDispatch
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from llm_router.gateway.deps import own_origins
from llm_router.gateway.errors import Problem, invalid_request
from llm_router.gateway.openapi import problems
from llm_router.gateway.rates import RateLimit, client_key, client_of

log = logging.getLogger(__name__)

PUBLIC_PREFIX = "web-"
"""Rooms a visitor may ask for by name begin with it; phone calls, for one, do not."""
LONGEST_NAME = 64
LONGEST_BODY = 8192
"""Bytes; the standard's metadata and attributes fit, though they are ignored."""
_ROOM = re.compile(r"[A-Za-z0-9_-]{1,64}")
_API_TIMEOUT = 4.0
"""Seconds for a question to LiveKit; a person is waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    server_url: str
    """What browsers are told."""
    api_key: str
    api_secret: str = field(repr=False)
    agent_name: str
    ttl: int
    """Seconds in which a token can be used to join."""
    rate_limit: RateLimit
    """For each client address."""
    allowed_origins: Collection[str] = ()
    """Other sites that may ask, each as `https://host[:port]`."""


class TokenRequest(BaseModel):
    """The standard's request, in snake or camel case; what is not named here is ignored."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)
    room_name: str | None = None
    participant_name: str | None = None


async def _read_wish(request: Request) -> TokenRequest:
    """What the body asks for; an empty one asks for nothing. Raises Problem (413, 422)."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST_BODY:
            raise Problem(413, "The request is too long", f"Send at most {LONGEST_BODY} bytes.")
    try:
        return TokenRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise invalid_request(error.errors()) from None


class TokenResponse(BaseModel):
    server_url: str
    participant_token: str


def mint_token(
    *,
    api_key: str,
    api_secret: str,
    identity: str,
    name: str,
    room: str,
    agent_name: str,
    ttl: int,
    now: float,
) -> str:
    """A token to join one room and talk there; `now` in seconds since 1970.

    Written out rather than built by livekit.api.AccessToken, which reads the clock itself and
    grants by default what a visitor does not need. LiveKit heeds the agent named in it only when
    this visitor is the one who creates the room.
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
        },
        "roomConfig": {"agents": [{"agentName": agent_name}]},
    }
    return jwt.encode(claims, api_secret, algorithm="HS256")


def room_for(wish: str | None) -> str:
    """The wished room if a visitor may have it, else a new one that cannot be guessed."""
    if wish and wish.startswith(PUBLIC_PREFIX) and _ROOM.fullmatch(wish):
        return wish
    return PUBLIC_PREFIX + secrets.token_urlsafe(16)


def display_name(wish: str | None) -> str:
    """A name fit to be shown: one line, at most LONGEST_NAME characters, nothing invisible."""
    shown = (" " if unicodedata.category(c)[0] in "CZ" else c for c in wish or "")
    return " ".join("".join(shown).split())[:LONGEST_NAME].strip()


class VoiceServer:
    """LiveKit's API as the HTTP process needs it; use within `async with`.

    Every method raises Problem, 502 or 503, when LiveKit does not play along.
    """

    def __init__(
        self, url: str, api_key: str, api_secret: str, timeout: float = _API_TIMEOUT
    ) -> None:
        self._url, self._key, self._secret = url, api_key, api_secret
        self._timeout = timeout
        self._dispatching = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._api = api.LiveKitAPI(self._url, self._key, self._secret)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()

    async def check(self) -> None:
        """Returns when LiveKit answers and takes our keys."""
        await self._exists("-")

    async def ensure_agent(self, room: str, agent_name: str) -> None:
        """See to it that the agent comes to `room`, also if the room is there already.

        A room that is not there yet gets the agent by the token of whoever creates it.
        """
        if not await self._exists(room):
            return
        # One at a time: two visitors of one room must not bring two agents.
        async with self._explained(), self._dispatching:
            dispatches = await self._api.agent_dispatch.list_dispatch(room)
            if not any(_serves(dispatch, agent_name) for dispatch in dispatches):
                await self._api.agent_dispatch.create_dispatch(
                    api.CreateAgentDispatchRequest(agent_name=agent_name, room=room)
                )

    async def _exists(self, room: str) -> bool:
        # Asked first because LiveKit lets a question about an absent room's dispatches time out.
        async with self._explained():
            answer = await self._api.room.list_rooms(api.ListRoomsRequest(names=[room]))
        return bool(answer.rooms)

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        try:
            # livekit-api 1.2 has a timeout of its own, but does not heed it.
            async with asyncio.timeout(self._timeout):
                yield
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("LiveKit at %s does not answer: %s", self._url, type(error).__name__)
            raise Problem(
                503,
                "The voice server cannot be reached",
                "Nothing answers at LIVEKIT_URL: start livekit-server there, or correct the"
                " setting. The log has the address.",
            ) from None
        except api.ServerError as error:
            log.warning("LiveKit at %s answers %d (%s)", self._url, error.status, error.code)
            raise _refusal(error.status) from None
        except DecodeError:
            log.warning("what answers at %s is no LiveKit server", self._url)
            raise _refusal(404) from None


def _serves(dispatch: AgentDispatch, agent_name: str) -> bool:
    """Whether the agent is there by this dispatch, or on its way."""
    if dispatch.agent_name != agent_name or dispatch.state.deleted_at:
        return False
    ended = (JobStatus.JS_SUCCESS, JobStatus.JS_FAILED, JobStatus.JS_CANCELLED)
    jobs = dispatch.state.jobs
    return not jobs or any(job.state.status not in ended for job in jobs)


def _refusal(status: int) -> Problem:
    if status in {401, 403}:
        return Problem(
            502,
            "The voice server refuses our keys",
            "LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be a pair from the LiveKit server's own"
            " configuration.",
        )
    if status == 404:  # noqa: PLR2004  what any other web server answers
        return Problem(
            502,
            "That is no voice server",
            "What answers at LIVEKIT_URL is no LiveKit server: correct the setting.",
        )
    return Problem(
        503,
        "The voice server is in trouble",
        f"LiveKit answered {status}. Try again in a moment; if it stays so, its log says why.",
    )


class _Gate:
    """Who may ask, and how often."""

    def __init__(self, allowed_origins: Collection[str], rate_limit: RateLimit) -> None:
        self._allowed, self._limit = frozenset(allowed_origins), rate_limit

    async def __call__(self, request: Request) -> None:
        self._check_origin(request)
        await self._limit.hit(client_key(client_of(request)), "Too many calls from here")

    def _check_origin(self, request: Request) -> None:
        # No Origin header: no browser, or a page of this very server.
        origin = request.headers.get("origin", "").lower()
        if origin and origin not in self._allowed | own_origins(request):
            raise Problem(
                403,
                "This site may not call here",
                "Its origin must be listed in the setting ALLOWED_ORIGINS.",
            )


def token_router(options: TokenOptions, voice: VoiceServer) -> APIRouter:
    """The route; it answers 201, or raises Problem (403, 413, 422, 429, 502, 503)."""
    router = APIRouter()
    gate = _Gate(options.allowed_origins, options.rate_limit)

    body = {"application/json": {"schema": TokenRequest.model_json_schema()}}

    # The body is read by hand, and last: who may not ask is not listened to.
    @router.post(
        "/token",
        status_code=201,
        tags=["calls"],
        operation_id="makeToken",
        responses=problems(403, 413, 422, 429, 502, 503),
        openapi_extra={"requestBody": {"content": body}},
    )
    async def token(
        _: Annotated[None, Depends(gate)],
        wish: Annotated[TokenRequest, Depends(_read_wish)],
        response: Response,
    ) -> TokenResponse:
        """A token for a call of one's own, to which the agent comes."""
        room = room_for(wish.room_name)
        await voice.ensure_agent(room, options.agent_name)
        response.headers["Cache-Control"] = "no-store"
        participant_token = mint_token(
            api_key=options.api_key,
            api_secret=options.api_secret,
            identity="visitor-" + secrets.token_urlsafe(9),
            name=display_name(wish.participant_name),
            room=room,
            agent_name=options.agent_name,
            ttl=options.ttl,
            now=time.time(),
        )
        return TokenResponse(server_url=options.server_url, participant_token=participant_token)

    return router
