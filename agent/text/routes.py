"""Serves the conversations in writing to visitors: `/api/visitor`, by site key and origin.

A visitor holds the token of their conversation, and needs nothing else to return to it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from agent.text.conversations import Conversations, Message
from agent.text.events import event_stream
from agent.text.news import Place
from agent.text.refusals import not_in_writing
from agent.text.resume_token import Conversation, ResumeTokens, of_visitor
from agent.visitor_gate import Gate, Visitor, context_of, offered, read_body
from agent.visitor_sites import VisitorSites, modes_of
from agent.visits import Visit
from llm_router.clock import SystemClock
from llm_router.gateway.openapi import body_of, problems
from llm_router.gateway.rates import RateLimit
from llm_router.voice.calls import CallItem
from llm_router.voice.page_context import GivenContext, SiteSecrets
from llm_router.voice.site import Mode

_MAX_BODY = 100_000
"""Bytes of a message; the settings allow fewer characters."""

_PLACE = Header(max_length=40, pattern=r"^\d{1,9}\.\d{1,9}$")

_bearer = HTTPBearer(
    scheme_name="Conversation",
    auto_error=False,
    description="The `token` of a conversation in writing.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    secret: str = field(repr=False)
    begin_limit: RateLimit
    """Limit per client address for conversations that begin."""
    message_limit: RateLimit
    """Limit per client address for messages."""
    read_limit: RateLimit
    """Limit per client address for all that reads."""
    allowed_origins: Collection[str] = ()
    assistants: Sequence[str] = ()
    """Assistants that a visitor may name; the first one is for those who name none."""
    site_secrets: SiteSecrets = field(default_factory=lambda: SiteSecrets(()), repr=False)
    """Secrets with which servers of sites sign what their pages say; of none by default."""
    shared_rooms: Collection[str] = ()
    """Rooms in which several visitors meet: what is said there belongs to none of them."""


@dataclass(frozen=True, slots=True)
class _Talk:
    """A visitor who was let in, with their conversation."""

    visitor: Visitor
    conversation: Conversation


class ConversationCreate(BaseModel):
    model_config = ConfigDict(extra="ignore")
    assistant: str | None = Field(default=None, max_length=64)
    """The assistant, where the page is none of a site. One that is not offered is ignored."""


class ConversationToken(BaseModel):
    token: str = Field(description="Proof of whose the conversation is; send it as a bearer token.")
    modes: Sequence[Mode] = Field(description="The ways to talk: by voice, in text, or both.")


class MessageCreate(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")] = Field(
        description="Chosen by the page, new for each message: sent again it is the same message."
    )
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
    context: GivenContext | None = None
    """The page's account of itself or its visitor by now, for the assistant."""
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{0,35}$")] = Field(
        default="", description="Tag of the page's language, such as `de`."
    )


def text_router(
    options: TextOptions, conversations: Conversations, sites: VisitorSites
) -> APIRouter:
    """Makes the routes. They raise Problem (401, 403, 409, 413, 422, 429, 503)."""
    router = APIRouter(prefix="/api/visitor", tags=["visitors"])
    begin_gate, message_gate, read_gate = (
        Gate(options.allowed_origins, sites, limit)
        for limit in (options.begin_limit, options.message_limit, options.read_limit)
    )
    _add_beginning(router, options, conversations, begin_gate)
    _add_messages(router, options, conversations, message_gate)
    _add_following(router, options, conversations, read_gate)
    _add_records(router, options, conversations, read_gate)
    return router


def _add_beginning(
    router: APIRouter, options: TextOptions, conversations: Conversations, gate: Gate
) -> None:
    tokens, clock = ResumeTokens(options.secret), SystemClock()

    @router.post(
        "/conversations",
        status_code=201,
        operation_id="beginConversation",
        responses=problems(403, 413, 422, 429, 503),
        openapi_extra=body_of(ConversationCreate),
    )
    async def begin(
        request: Request, visitor: Annotated[Visitor, Depends(gate)], response: Response
    ) -> ConversationToken:
        """Begins a conversation in writing. Nothing is stored before its first message."""
        body = await read_body(request, ConversationCreate, _MAX_BODY)
        modes = modes_of(visitor.site)
        site = visitor.site.record if visitor.site else None
        assistant = site.assistant if site else offered(body.assistant, options.assistants)
        talk = Conversation(
            visit=Visit.begin(), site=site.name if site else "", assistant=assistant
        )
        if "text" in modes:
            conversations.prepare()
        response.headers["Cache-Control"] = "no-store"
        return ConversationToken(token=tokens.sign(talk, clock.wall()), modes=sorted(modes))


def _add_messages(
    router: APIRouter, options: TextOptions, conversations: Conversations, gate: Gate
) -> None:
    may_write, clock = _talk_behind(gate, options), SystemClock()

    @router.post(
        "/conversation/messages",
        operation_id="sendMessage",
        response_class=Response,
        responses=problems(401, 403, 409, 413, 422, 429, 503),
        openapi_extra=body_of(MessageCreate),
    )
    async def send(
        request: Request,
        talk: Annotated[_Talk, Depends(may_write)],
        last_event_id: Annotated[str | None, _PLACE] = None,
    ) -> Response:
        """Sends a message. The answer has it, and the reply as it is written, as events.

        With `Last-Event-ID` it also has what came between that event and the message, such as what
        was said in another tab.
        """
        if "text" not in modes_of(talk.visitor.site):
            raise not_in_writing()
        body = await read_body(request, MessageCreate, _MAX_BODY)
        context = context_of(body.context, talk.visitor, options.site_secrets, clock.wall())
        message = Message(id=body.id, text=body.text, context=context, language=body.language)
        place = await conversations.ask(talk.conversation, talk.visitor, message)
        read = Place.parse(last_event_id or "") or place
        return event_stream(conversations.follow(talk.conversation, min(place, read)))


def _add_following(
    router: APIRouter, options: TextOptions, conversations: Conversations, gate: Gate
) -> None:
    may_read = _talk_behind(gate, options)

    @router.get(
        "/conversation/events",
        operation_id="followConversation",
        response_class=Response,
        responses=problems(401, 403, 422, 429, 503),
    )
    async def events(
        talk: Annotated[_Talk, Depends(may_read)],
        last_event_id: Annotated[str, _PLACE] = "0.0",
    ) -> Response:
        """Sends all that comes after an event, until nothing is under way: without one, all."""
        place = Place.parse(last_event_id) or Place()
        return event_stream(conversations.follow(talk.conversation, place))


def _add_records(
    router: APIRouter, options: TextOptions, conversations: Conversations, gate: Gate
) -> None:
    """Adds the routes for visitors of calls as well, who hold a continuation."""
    may_read = _talk_behind(gate, options, or_call=True)

    @router.get(
        "/conversation/transcript",
        operation_id="getTranscript",
        response_class=PlainTextResponse,
        responses=problems(401, 403, 429, 503),
    )
    async def transcript(talk: Annotated[_Talk, Depends(may_read)]) -> Response:
        """Returns what was said, as a text to save. A call's `continuation` opens it as well."""
        text = _transcript(await conversations.whole(talk.conversation))
        name = {"Content-Disposition": 'attachment; filename="conversation.txt"'}
        return PlainTextResponse(text, headers=name)

    @router.delete(
        "/conversation",
        status_code=204,
        operation_id="deleteConversation",
        responses=problems(401, 403, 429, 503),
    )
    async def delete(talk: Annotated[_Talk, Depends(may_read)]) -> None:
        """Deletes the conversation with all that was said in it, at once and for good.

        A call's `continuation` opens this as well.
        """
        await conversations.remove(talk.conversation)


def _talk_behind(gate: Gate, options: TextOptions, *, or_call: bool = False) -> Callable[..., Any]:
    """Returns the dependency that lets the holders of a conversation's token in.

    `or_call`: also those of the continuation of a call in a room of their own.
    """
    tokens, clock = ResumeTokens(options.secret), SystemClock()

    async def talk(
        visitor: Annotated[Visitor, Depends(gate)],
        sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> _Talk:
        token, now = sent.credentials if sent else "", clock.wall()
        conversation = tokens.read(token, now)
        visit = tokens.visit_of(token, now) if or_call and conversation is None else None
        if visit and visit.room not in options.shared_rooms:
            site = visitor.site.record.name if visitor.site else ""
            conversation = Conversation(visit=visit, site=site)
        return _Talk(visitor, of_visitor(conversation, visitor))

    return talk


def _transcript(items: Sequence[CallItem]) -> str:
    names = {"user": "Visitor", "assistant": "Assistant"}
    lines = [
        f"[{item.created_at:%Y-%m-%d %H:%M UTC}] {names.get(item.role, item.role)}: {item.text}"
        for item in items
    ]
    return "\n\n".join([*lines, ""])
