"""Finds the attempts of a reply by its id: a client that was given one may ask what came of it."""

from alembic import op

revision = "0008"
down_revision: str | None = "0007"

_TABLE, _NAME = "llm_connection_usage", "ix_llm_connection_usage_reply_id"


def upgrade() -> None:
    op.create_index(_NAME, _TABLE, ["reply_id"])


def downgrade() -> None:
    op.drop_index(_NAME, _TABLE)
