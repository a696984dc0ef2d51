"""Serves `POST /token`: LiveKit's standard token endpoint, which leaves a visitor no choices.

https://docs.livekit.io/frontends/build/authentication/endpoint.md. The server chooses identity,
room, grants and agent: a client that could choose them could listen in on other calls or start any
agent. Of a request only `participant_name` (shortened), `room_name` (of a room that the site
shares) and, beyond the standard, `continuation`, `assistant` and `context` are used; identity,
metadata, attributes and room_config are accepted, as the standard asks, and ignored. Pages of a
stored site send its public key as `site` in the query.
"""

import unicodedata
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import jwt
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from agent.livekit_server import LiveKitError, LiveKitUnavailableError
from agent.reception import Move, Reception
from agent.visitor_gate import Gate, Visitor, context_of, offered, read_body
from agent.visitor_sites import VisitorSites, modes_of
from agent.visits import MAX_LENGTH, Admission, Continuations, Visit
from llm_router.clock import SystemClock
from llm_router.gateway.errors import Problem
from llm_router.gateway.openapi import body_of, problems
from llm_router.gateway.rates import RateLimit
from llm_router.voice.page_context import GivenContext, SiteSecrets
from llm_router.voice.site import Mode

MAX_NAME_LENGTH = 64
MAX_BODY_BYTES = 8192
"""Enough for a page's context, and for the standard's metadata, although that is ignored."""


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
    site_rate_limit: RateLimit = field(default_factory=lambda: RateLimit("120/minute"))
    """Limit per client address for what a site allows: every page that is opened asks for it."""
    allowed_origins: Collection[str] = ()
    """Other sites whose pages may request tokens, each as `https://host[:port]`."""
    site_secrets: SiteSecrets = field(default_factory=lambda: SiteSecrets(()), repr=False)
    """Secrets with which servers of sites sign what their pages say; of none by default."""
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
    conversation: str | None = Field(default=None, max_length=MAX_LENGTH)
    """The token of a conversation in writing, to go on with it in a room."""
    context: GivenContext | None = None
    """The page's account of itself or its visitor, for the assistant of a new call."""


async def _read_token_request(request: Request) -> TokenRequest:
    return await read_body(request, TokenRequest, MAX_BODY_BYTES)


class VisitorSite(BaseModel):
    modes: Sequence[Mode] = Field(description="The ways to talk: by voice, in text, or both.")
    consent: str = Field(description="Text that visitors agree to first; empty: none.")


class TokenResponse(BaseModel):
    server_url: str
    participant_token: str
    modes: Sequence[Mode] = Field(description="The ways to talk: by voice, in text, or both.")
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
    may_speak: bool = True,
) -> str:
    """Makes a token to join one room and talk there; `now` is in seconds since 1970.

    Without `may_speak` it is for text alone, and not for the microphone.

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
            "canPublish": may_speak,
            "canPublishSources": ["microphone"] if may_speak else [],
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


def problem_of(error: LiveKitError) -> Problem:
    """Makes the HTTP answer for an error of LiveKit: 502 for a wrong setting, 503 for an outage."""
    if isinstance(error, LiveKitUnavailableError):
        return Problem(503, "voice-server-unavailable", str(error))
    return Problem(502, "voice-server-refused", str(error))


class MovesToRooms(Protocol):
    """Moves conversations in writing to rooms."""

    def moving(
        self, token: str | None, earlier: Visit | None, visitor: Visitor
    ) -> AbstractAsyncContextManager[Move | None]:
        """Moves a conversation for the block, and back if the block fails.

        Without a token it is that of the earlier visit, whose call has gone back to writing; None:
        there is none. Raises Problem (401, 409) for a token that is not valid, and one that has
        ended.
        """


def _token_for(
    admission: Admission, wanted_name: str | None, options: TokenOptions, now: float
) -> str:
    return mint_token(
        api_key=options.api_key,
        api_secret=options.api_secret,
        identity=admission.visit.identity,
        name=display_name(wanted_name),
        room=admission.visit.room,
        ttl=options.ttl,
        now=now,
        may_speak="voice" in admission.modes,
    )


class _Desk:
    """Lets visitors into rooms, as the route that makes tokens does."""

    def __init__(
        self, options: TokenOptions, reception: Reception, texts: MovesToRooms | None
    ) -> None:
        self._options = options
        self._reception = reception
        self._texts = texts
        self._continuations = Continuations(options.api_secret)
        self._clock = SystemClock()

    async def let_in(self, visitor: Visitor, body: TokenRequest) -> TokenResponse:
        """Finds the visitor a room, and makes the token for it. Raises Problem."""
        options, now = self._options, self._clock.wall()
        earlier = self._continuations.read(body.continuation, now)
        context = context_of(body.context, visitor, options.site_secrets, now)
        try:
            async with self._moving(body.conversation, earlier, visitor) as move:
                admission = await self._reception.receive(
                    earlier,
                    body.room_name,
                    visitor.address,
                    assistant=offered(body.assistant, options.assistants),
                    site=visitor.site,
                    move=move,
                    context=context,
                )
        except LiveKitError as error:
            raise problem_of(error) from None
        now = self._clock.wall()
        return TokenResponse(
            modes=sorted(admission.modes),
            server_url=options.server_url,
            participant_token=_token_for(admission, body.participant_name, options, now),
            continuation=self._continuations.sign(admission.visit, now),
        )

    def _moving(
        self, token: str | None, earlier: Visit | None, visitor: Visitor
    ) -> AbstractAsyncContextManager[Move | None]:
        if self._texts is None:
            return nullcontext()
        return self._texts.moving(token, earlier, visitor)


def token_router(
    options: TokenOptions,
    reception: Reception,
    sites: VisitorSites | None = None,
    texts: MovesToRooms | None = None,
) -> APIRouter:
    """Makes the routes. They answer, or raise Problem (401, 403, 409, 413, 422, 429, 502, 503).

    `sites` knows the keys that pages of other sites may send; None: there are none. `texts` moves
    conversations in writing to rooms; None: there are none.
    """
    router = APIRouter()
    gate = Gate(options.allowed_origins, sites, options.rate_limit)
    door = Gate(options.allowed_origins, sites, options.site_rate_limit)
    desk = _Desk(options, reception, texts)

    # The body is read last, by `read_body`, so that a refused client sends nothing for nothing.
    @router.post(
        "/token",
        status_code=201,
        tags=["calls"],
        operation_id="createToken",
        responses=problems(401, 403, 409, 413, 422, 429, 502, 503),
        openapi_extra=body_of(TokenRequest, required=False),
    )
    async def token(
        visitor: Annotated[Visitor, Depends(gate)],
        body: Annotated[TokenRequest, Depends(_read_token_request)],
        response: Response,
    ) -> TokenResponse:
        """Makes a token for a call of your own, which the agent joins.

        In a `continuation` you return to your own room, as long as it is open. With the token of a
        `conversation` in writing the agent goes on with what was written.
        """
        response.headers["Cache-Control"] = "no-store"
        return await desk.let_in(visitor, body)

    @router.get(
        "/site", tags=["calls"], operation_id="getVisitorSite", responses=problems(403, 429, 503)
    )
    async def site(visitor: Annotated[Visitor, Depends(door)]) -> VisitorSite:
        """Returns what visitors of the page's site may use, so that a widget shows just that."""
        consent = visitor.site.record.consent if visitor.site else ""
        return VisitorSite(modes=sorted(modes_of(visitor.site)), consent=consent)

    return router
