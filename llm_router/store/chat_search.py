"""Finds texts in stored chats: as a condition of a query, and the place where one is."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.store.chat_tree import Chat, excerpt, storable
from llm_router.store.tables import chat_messages

_M = chat_messages.c
_SEARCHED_FOR_EXCERPT = 20_000
"""Characters of a message from which an excerpt may come."""


async def places(
    db: AsyncConnection, chats: Sequence[Chat], text: str
) -> Mapping[str, tuple[int, str]]:
    """Returns the first message of each chat that holds the text, and an excerpt of it."""
    ids = [chat.id for chat in chats]
    first = select(_M.session_id, func.min(_M.number).label("number"))
    first = first.where(_M.session_id.in_(ids), holds(_M.search, text)).group_by(_M.session_id)
    at = first.subquery()
    beginning = func.substr(_M.content, 1, _SEARCHED_FOR_EXCERPT).label("beginning")
    query = select(_M.session_id, _M.number, beginning).join(
        at, and_(_M.session_id == at.c.session_id, _M.number == at.c.number)
    )
    rows = (await db.execute(query)).all()
    return {row.session_id: (row.number, excerpt(row.beginning, text)) for row in rows}


def holds(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Returns the condition that a casefolded column has the text in it, in any case."""
    return column.contains(storable(text).casefold(), autoescape=True)
