"""Defines the table of messages that callers have left."""

from sqlalchemy import Index, Table

from llm_router.store.columns import METADATA, text, time

messages = Table(
    "messages",
    METADATA,
    # The fields of `voice.messages.Message`, in its order.
    text("id", key=True),
    text("room"),
    text("assistant"),
    text("name"),
    text("contact"),
    text("text"),
    time("created_at"),
    Index(None, "created_at"),
)
