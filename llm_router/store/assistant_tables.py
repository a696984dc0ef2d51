"""Defines the tables of assistants and of their versions."""

from sqlalchemy import JSON, Column, ForeignKey, Integer, Table, Text, UniqueConstraint

from llm_router.store.columns import METADATA, text, time

assistants = Table(
    "assistants",
    METADATA,
    text("name", key=True),
    Column("version", Integer, nullable=False),  # the present one
    Column("owner", Text, nullable=False, server_default=""),
    Column("team", Text, nullable=False, server_default=""),
    Column("visibility", Text, nullable=False, server_default="everyone"),
)

assistant_versions = Table(
    "assistant_versions",
    METADATA,
    text("id", key=True),  # "<name>:<version>"
    Column("name", ForeignKey("assistants.name", ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("record", JSON, nullable=False),  # the fields that are set, with masks for secrets
    Column("secrets_sealed", Text),
    text("author"),
    time("at"),
    Column("restored", Integer),  # the version whose content it has again
    UniqueConstraint("name", "version"),
)
