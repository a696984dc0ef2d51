"""Connections that are dialled through the guard: an admin did not say where they lead."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    op.add_column(
        "llm_connections",
        sa.Column("is_guarded", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    # Who added the others is not kept; what belongs to nobody, only an admin could add.
    op.execute("UPDATE llm_connections SET is_guarded = false WHERE owner = ''")


def downgrade() -> None:
    op.drop_column("llm_connections", "is_guarded")
