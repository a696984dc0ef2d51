"""Marks connections whose address no admin chose, which are dialled through the guard."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    op.add_column(
        "llm_connections",
        sa.Column("is_guarded", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    # Only an admin could add a connection without an owner; who added the others is unknown.
    op.execute("UPDATE llm_connections SET is_guarded = false WHERE owner = ''")


def downgrade() -> None:
    op.drop_column("llm_connections", "is_guarded")
