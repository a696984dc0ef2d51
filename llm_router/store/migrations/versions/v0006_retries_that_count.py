"""Lets `max_retries` be null, which means: no limit of its own; 0 now means never twice.

Before, nothing read the number, and 0 was what everyone had who set none. So 0 becomes null.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"

_TABLE, _COLUMN = "llm_connections", "max_retries"


def upgrade() -> None:
    _replace(sa.Column(_COLUMN, sa.Integer()), f"NULLIF({_COLUMN}_before, 0)")


def downgrade() -> None:
    column = sa.Column(_COLUMN, sa.Integer(), nullable=False, server_default=sa.text("0"))
    _replace(column, f"COALESCE({_COLUMN}_before, 0)")


def _replace(column: sa.Column[int], value: str) -> None:
    # SQLite cannot alter a column, and dropping the table for a new one would delete the rows of
    # other tables that refer to it.
    op.alter_column(_TABLE, _COLUMN, new_column_name=f"{_COLUMN}_before")
    op.add_column(_TABLE, column)
    op.execute(f"UPDATE {_TABLE} SET {_COLUMN} = {value}")  # noqa: S608  our own names
    op.drop_column(_TABLE, f"{_COLUMN}_before")
