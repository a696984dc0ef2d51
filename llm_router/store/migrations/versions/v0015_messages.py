"""Makes the table of messages that callers have left."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    texts = [
        sa.Column(name, sa.Text(), nullable=False)
        for name in ("id", "room", "assistant", "name", "contact", "text")
    ]
    op.create_table(
        "messages",
        *texts,
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
    )
    op.create_index("ix_messages_created_at", "messages", ["created_at"])


def downgrade() -> None:
    op.drop_table("messages")
