"""Defines the table of sites, whose visitors may talk to an assistant."""

from sqlalchemy import JSON, Column, Integer, Table, Text

from llm_router.store.columns import METADATA, text, time

sites = Table(
    "sites",
    METADATA,
    text("name", key=True),
    Column("key", Text, nullable=False, unique=True),  # public
    Column("record", JSON, nullable=False),
    Column("version", Integer, nullable=False),  # from 1, one more with each change
    time("created_at"),
    time("updated_at"),
)
