"""Routes for stored chats: create, search, show, change, export and delete them."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from llm_router.gateway.chat_deps import ChatId, ChatOwner
from llm_router.gateway.chat_files import to_markdown
from llm_router.gateway.deps import Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.chats import (
    ChatCreate,
    ChatDetail,
    ChatExport,
    ChatFound,
    ChatPage,
    ChatQuery,
    ChatRead,
    ChatUpdate,
    chosen,
    read_messages,
)

router = APIRouter(prefix="/chats", tags=["chats"])

_FILE: dict[str, Any] = {
    "description": "The chat as a file.",
    "model": ChatExport,
    "content": {"text/markdown": {"schema": {"type": "string"}}},
}


@router.post("", status_code=201, operation_id="createChat", responses=problems(409))
async def create_chat(owner: ChatOwner, deps: Deps, body: ChatCreate) -> ChatRead:
    """Creates a chat, which belongs to the owner of the API key alone.

    It has no message unless a `history` is given; `regenerate` has the last question answered.
    """
    return ChatRead.of(await deps.chats.add(owner, body.values, body.past))


@router.get("", operation_id="listChats")
async def list_chats(
    owner: ChatOwner, deps: Deps, query: Annotated[ChatQuery, Query()]
) -> ChatPage:
    """Lists your chats, the latest first, or those that hold a text."""
    found, total = await deps.chats.find(owner, query.text, limit=query.limit, offset=query.offset)
    items = [ChatFound.of_found(each) for each in found]
    return ChatPage(items=items, total=total, limit=query.limit, offset=query.offset)


@router.get("/{chat_id}", operation_id="getChat", responses=problems(404))
async def get_chat(owner: ChatOwner, deps: Deps, chat_id: ChatId) -> ChatDetail:
    """Returns a chat with the messages of the path that is shown."""
    return ChatDetail.of_tree(await deps.chats.read(owner, chat_id))


@router.patch("/{chat_id}", operation_id="updateChat", responses=problems(404))
async def update_chat(owner: ChatOwner, deps: Deps, chat_id: ChatId, body: ChatUpdate) -> ChatRead:
    """Changes the title, the model, the system prompt or the parameters, from the next reply on."""
    return ChatRead.of(await deps.chats.change(owner, chat_id, chosen(body)))


@router.delete("/{chat_id}", status_code=204, operation_id="deleteChat", responses=problems(404))
async def delete_chat(owner: ChatOwner, deps: Deps, chat_id: ChatId) -> None:
    """Deletes a chat with all its messages; a reply that is being written ends."""
    await deps.chats.remove(owner, chat_id)
    await deps.chat_replies.forget(chat_id)


@router.get(
    "/{chat_id}/export",
    operation_id="exportChat",
    response_class=Response,
    responses={**problems(404), 200: _FILE},
)
async def export_chat(
    owner: ChatOwner,
    deps: Deps,
    chat_id: ChatId,
    format: Annotated[  # noqa: A002  the name of the parameter
        Literal["json", "markdown"],
        Query(description="`markdown` has the path that is shown, `json` every branch."),
    ] = "json",
) -> Response:
    """Returns a chat as a file."""
    tree = await deps.chats.read(owner, chat_id)
    if format == "markdown":
        return _file(to_markdown(tree), "text/markdown; charset=utf-8", f"{chat_id}.md")
    chat = ChatRead.of(tree.chat).model_dump()
    export = ChatExport(**chat, tree=read_messages(tree, tree.messages))
    return _file(export.model_dump_json(indent=2), "application/json", f"{chat_id}.json")


def _file(text: str, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=media_type, headers=headers)
