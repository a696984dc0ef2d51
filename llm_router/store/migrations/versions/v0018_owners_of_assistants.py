"""Gives assistants an owner, a team and a visibility. Those that there are stay visible to all."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision: str | None = "0017"

_TABLE = "assistants"
_COLUMNS = {"owner": "", "team": "", "visibility": "everyone"}


def upgrade() -> None:
    for name, value in _COLUMNS.items():
        column: sa.Column[object] = sa.Column(name, sa.Text(), nullable=False, server_default=value)
        op.add_column(_TABLE, column)


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_column(_TABLE, name)
