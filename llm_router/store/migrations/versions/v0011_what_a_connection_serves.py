"""Says what a connection serves besides chat, and under which other names its model is known."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"

_TABLE = "llm_connections"
_COLUMNS = (("aliases", sa.JSON, "[]"), ("serves", sa.Text, "chat"))


def upgrade() -> None:
    for name, kind, default in _COLUMNS:
        column: sa.Column[object] = sa.Column(name, kind(), nullable=False, server_default=default)
        op.add_column(_TABLE, column)


def downgrade() -> None:
    for name, _, _ in _COLUMNS:
        op.drop_column(_TABLE, name)
