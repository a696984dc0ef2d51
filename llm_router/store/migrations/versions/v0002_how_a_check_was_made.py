"""Adds the kind of each check: a server may list its models and yet not reply."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

_TABLE = "llm_connection_health_checks"


def upgrade() -> None:
    kind = sa.Column("kind", sa.Text(), nullable=False, server_default="probe")
    op.add_column(_TABLE, kind)


def downgrade() -> None:
    op.drop_column(_TABLE, "kind")
