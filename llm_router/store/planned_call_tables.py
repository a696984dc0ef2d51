"""Defines the table of planned calls."""

from sqlalchemy import JSON, Column, Index, Integer, Table
from sqlalchemy import text as sql

from llm_router.store.columns import METADATA, flag, text, time

planned_calls = Table(
    "planned_calls",
    METADATA,
    # The fields of `voice.phone.plan.PlannedCall`, in its order.
    text("id", key=True),
    text("number"),
    text("assistant"),
    Column("variables", JSON, nullable=False),
    text("voicemail"),
    flag("detect_machine"),
    text("timezone"),
    time("earliest"),
    time("latest"),
    text("hours"),
    Column("retry_after_minutes", JSON, nullable=False),
    text("idempotency_key"),
    text("author"),
    text("status"),
    text("outcome"),
    text("reason"),
    Column("attempt", Integer, nullable=False),
    time("next_at", known=False),
    text("room"),
    text("holder"),
    time("dialed_at", known=False),
    time("created_at"),
    time("updated_at"),
    Index(
        "uq_planned_calls_author_key",
        "author",
        "idempotency_key",
        unique=True,
        sqlite_where=sql("idempotency_key <> ''"),
        postgresql_where=sql("idempotency_key <> ''"),
    ),
    Index(None, "status", "next_at"),
    Index(None, "dialed_at"),
    Index(None, "created_at"),
)
