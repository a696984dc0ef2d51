"""Defines the table of the workers that take calls."""

from sqlalchemy import Column, Float, Index, Integer, Table

from llm_router.store.columns import METADATA, flag, text, time

workers = Table(
    "call_workers",
    METADATA,
    text("name", key=True),
    text("agent_name"),
    flag("takes_calls"),
    Column("calls", Integer, nullable=False),
    Column("load", Float, nullable=False),
    Column("load_limit", Float, nullable=False),  # 0: none
    Column("ready", Integer, nullable=False),
    time("started_at"),
    time("seen_at"),
    Index(None, "seen_at"),
)
