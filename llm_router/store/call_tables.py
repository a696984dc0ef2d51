"""Defines the tables of calls and of what was said in them."""

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, Table, UniqueConstraint
from sqlalchemy import text as sql

from llm_router.store.columns import METADATA, text, time

calls = Table(
    "calls",
    METADATA,
    # The fields of `voice.calls.Call`, in its order.
    text("id", key=True),
    text("room"),
    Column("epoch", Integer, nullable=False),
    text("assistant"),
    text("caller"),
    text("kind"),
    text("state"),
    text("agent"),
    text("worker"),
    text("job"),
    text("keep"),
    Column("keep_days", Integer),
    time("last_beat"),
    time("started_at"),
    time("answered_at", known=False),
    time("ended_at", known=False),
    time("updated_at"),
    text("reason"),
    Column("items", Integer, nullable=False),
    text("voiced"),
    Column("tools_in_flight", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    # A column for the store alone.
    time("expires_at", known=False),
    Index(
        "uq_calls_room_going_on",
        "room",
        unique=True,
        sqlite_where=sql("state <> 'ended'"),
        postgresql_where=sql("state <> 'ended'"),
    ),
    Index(None, "room", "started_at"),
    Index(None, "state", "last_beat"),
    Index(None, "started_at"),
    Index(None, "updated_at"),
    Index(None, "expires_at"),
)

# Numbered from 1 in the order of arrival.
call_items = Table(
    "call_items",
    METADATA,
    Column("call_id", ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    text("id"),
    text("role"),
    text("text"),
    Column("tool_calls", JSON, nullable=False),
    Column("interrupted_at", Integer),
    Column("receipt", JSON, nullable=False),
    Column("epoch", Integer, nullable=False),
    time("created_at"),
    text("search"),  # the text, casefolded
    UniqueConstraint("call_id", "id"),
)
