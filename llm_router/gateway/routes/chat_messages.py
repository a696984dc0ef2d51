"""Routes for the messages of stored chats: send one, and write, follow and choose replies."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Response

from llm_router.connections.access import Actor
from llm_router.errors import NotFoundError
from llm_router.gateway.chat_deps import ChatId, ChatOwner
from llm_router.gateway.chat_stream import WholeReply, reply_events
from llm_router.gateway.completions.models import Choice, choose, narrowed, usable_by
from llm_router.gateway.completions.problems import ChatProblem
from llm_router.gateway.deps import CurrentActor, Deps, Services
from llm_router.gateway.event_stream import END
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.chats import (
    ChatDetail,
    ChatMessageCreate,
    ChatMessageList,
    ChatMessageRead,
    ChatReplyCreate,
    ChatTurn,
    read_messages,
)
from llm_router.management.chat_replies import reply_request
from llm_router.routing.router import Router
from llm_router.store.chats import ReplyTask

router = APIRouter(prefix="/chats/{chat_id}/messages", tags=["chats"])

_EVENTS: dict[str, Any] = {
    "description": "Server-sent events: `question`, `text` as it comes, `end`; docs/chats.md.",
    "content": {"text/event-stream": {}},
}
_WHOLE: dict[str, Any] = {"description": "The message and the whole reply.", "model": ChatTurn}
_REPLY = {**problems(404, 409), 200: _EVENTS, 201: _WHOLE}

Number = Annotated[int, Path(description="Of the message.", ge=1, le=10**6)]
Store = Callable[[], Awaitable[ReplyTask]]


@dataclass(frozen=True, slots=True)
class ReplyStarter:
    """Stores and begins replies for the client of a request."""

    deps: Services
    actor: Actor
    owner: str

    async def answer(self, chat_id: str, size: int, *, stream: bool, store: Store) -> Response:
        """Has `store` store a reply, and begins to write it.

        `size`: characters of the request. Raises NotFoundError for a model that is unknown, and
        BusyError, before anything is stored.
        """
        deps = self.deps
        chat = await deps.chats.get(self.owner, chat_id)
        model_router = await deps.chat_router.get()
        choice = self._choose(chat.model, model_router)
        with ExitStack() as place:
            place.enter_context(deps.reply_places.taken(self.actor.key_id, size))
            task = await store()
            total = model_router.options.total
            request = narrowed(reply_request(task), choice, self.actor, total)
            deps.chat_replies.start(task, model_router, request, place.pop_all())
        steps = deps.chat_replies.follow(self.owner, chat_id, task.reply.number)
        return reply_events(steps, task) if stream else WholeReply(steps, task)

    def _choose(self, model: str, model_router: Router) -> Choice:
        try:
            return choose(model, usable_by(self.actor, model_router.pool.endpoints))
        except ChatProblem as problem:
            raise NotFoundError(problem.detail) from None


async def get_starter(deps: Deps, actor: CurrentActor, owner: ChatOwner) -> ReplyStarter:
    return ReplyStarter(deps, actor, owner)


Starter = Annotated[ReplyStarter, Depends(get_starter)]


@router.post("", operation_id="sendChatMessage", response_class=Response, responses=_REPLY)
async def send_message(starter: Starter, chat_id: ChatId, body: ChatMessageCreate) -> Response:
    """Stores a message, then has it answered; the answer begins when the message is stored.

    With `after` it begins another branch; the new path is shown from then on.
    """

    async def store() -> ReplyTask:
        chats = starter.deps.chats
        return await chats.ask(starter.owner, chat_id, body.content, after=body.after)

    size = len(body.content)
    return await starter.answer(chat_id, size, stream=body.stream, store=store)


@router.post(
    "/{number}/regenerate",
    operation_id="regenerateChatReply",
    response_class=Response,
    responses=_REPLY,
)
async def regenerate(
    starter: Starter,
    chat_id: ChatId,
    number: Number,
    body: Annotated[ChatReplyCreate | None, Body()] = None,
) -> Response:
    """Has another reply written beside this one, or to this message of yours."""

    async def store() -> ReplyTask:
        chats = starter.deps.chats
        return await chats.answer_again(starter.owner, chat_id, number)

    stream = (body or ChatReplyCreate()).stream
    return await starter.answer(chat_id, 0, stream=stream, store=store)


@router.get(
    "/{number}/stream",
    operation_id="followChatReply",
    response_class=Response,
    responses={
        **problems(404),
        200: _EVENTS,
        204: {"description": "`Last-Event-ID` is that of the end: there is no more."},
    },
)
async def follow_reply(
    owner: ChatOwner,
    deps: Deps,
    chat_id: ChatId,
    number: Number,
    last_event_id: Annotated[
        str | None,
        Header(description="Of the last event received.", pattern=r"^(\d{1,7}|end)$"),
    ] = None,
) -> Response:
    """Sends a reply from the event after `Last-Event-ID` on, or from its begin, and follows it."""
    message = await deps.chats.follow(owner, chat_id, number)
    if message.role != "assistant":
        raise NotFoundError(f"message {number} is no reply")
    if last_event_id == END:
        return Response(status_code=204)
    read = int(last_event_id or 0)
    return reply_events(deps.chat_replies.follow(owner, chat_id, number, read))


@router.post("/{number}/stop", operation_id="stopChatReply", responses=problems(404, 409))
async def stop_reply(
    owner: ChatOwner, deps: Deps, chat_id: ChatId, number: Number
) -> ChatMessageRead:
    """Ends a reply that is being written; what there is of it stays, as broken off."""
    return ChatMessageRead.of(await deps.chat_replies.stop(owner, chat_id, number))


@router.get("/{number}/siblings", operation_id="listChatSiblings", responses=problems(404))
async def list_siblings(
    owner: ChatOwner, deps: Deps, chat_id: ChatId, number: Number
) -> ChatMessageList:
    """Lists the messages that follow the same one as this does, itself included."""
    tree = await deps.chats.read(owner, chat_id)
    return ChatMessageList(items=read_messages(tree, tree.beside(number)))


@router.post("/{number}/choose", operation_id="chooseChatMessage", responses=problems(404))
async def choose_message(
    owner: ChatOwner, deps: Deps, chat_id: ChatId, number: Number
) -> ChatDetail:
    """Shows the newest path that leads through this message from now on."""
    return ChatDetail.of_tree(await deps.chats.choose(owner, chat_id, number))
