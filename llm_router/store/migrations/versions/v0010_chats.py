"""Makes the tables of chats anew: messages are a tree, and replies may be in progress.

Nothing wrote into the tables that were there before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    op.drop_table("chat_messages")
    op.drop_table("chat_sessions")
    op.create_table(
        "chat_sessions",
        _text("id"),
        _text("owner"),
        _text("title"),
        _text("model"),
        _text("system_prompt"),
        sa.Column("parameters", sa.JSON(), nullable=False),
        _integer("current"),
        _integer("messages"),
        _integer("characters"),
        _time("created_at"),
        _time("updated_at"),
        _text("search"),
        sa.PrimaryKeyConstraint("id", name="pk_chat_sessions"),
    )
    op.create_index("ix_chat_sessions_owner_updated_at", "chat_sessions", ["owner", "updated_at"])
    op.create_index("ix_chat_sessions_updated_at", "chat_sessions", ["updated_at"])
    op.create_table(
        "chat_messages",
        _text("session_id"),
        _integer("number"),
        _integer("parent"),
        _text("role"),
        _text("content"),
        _text("status"),
        _text("problem"),
        sa.Column("route", sa.JSON(), nullable=False),
        _time("created_at"),
        _time("alive_until", known=False),
        _time("read_at", known=False),
        _text("search"),
        _of_a_session(),
        sa.PrimaryKeyConstraint("session_id", "number", name="pk_chat_messages"),
    )


def downgrade() -> None:
    op.drop_table("chat_messages")
    op.drop_table("chat_sessions")
    op.create_table(
        "chat_sessions",
        _text("id"),
        _text("title"),
        _text("owner"),
        sa.Column("settings", sa.JSON(), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_chat_sessions"),
    )
    op.create_index("ix_chat_sessions_owner_updated_at", "chat_sessions", ["owner", "updated_at"])
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "chat_messages",
        sa.Column("id", number, autoincrement=True, nullable=False),
        _text("session_id"),
        _integer("place"),
        _text("role"),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("route", sa.JSON(), nullable=False),
        _time("created_at"),
        _of_a_session(),
        sa.PrimaryKeyConstraint("id", name="pk_chat_messages"),
        sa.UniqueConstraint("session_id", "place", name="uq_chat_messages_session_id_place"),
    )


def _of_a_session() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["session_id"],
        ["chat_sessions.id"],
        name="fk_chat_messages_session_id",
        ondelete="CASCADE",
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, autoincrement=False)


def _time(name: str, *, known: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not known)
