"""A price that is not named is by the list; 0 is free.

Until now 0 stood for both, so what has no price at all is taken to be by the list, as it was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"

_TABLE, _PRICES = "llm_connections", ("price_in", "price_out")


def upgrade() -> None:
    for price in _PRICES:
        _may_be_missing(price)
    op.execute(
        f"UPDATE {_TABLE} SET price_in = NULL, price_out = NULL"  # noqa: S608  our own names
        " WHERE price_in = 0 AND price_out = 0"
    )


def downgrade() -> None:
    for price in _PRICES:
        op.execute(f"UPDATE {_TABLE} SET {price} = 0 WHERE {price} IS NULL")  # noqa: S608  the same
    for price in _PRICES:
        _may_be_missing(price, missing=False)


def _may_be_missing(column: str, *, missing: bool = True) -> None:
    if op.get_context().dialect.name == "postgresql":
        op.alter_column(_TABLE, column, existing_type=sa.Float(), nullable=missing)
        return
    # SQLite cannot alter a column; and a new table in place of the old one would, as the old one
    # goes, take along the rows of others that refer to it.
    op.alter_column(_TABLE, column, new_column_name=f"{column}_before")
    default = None if missing else sa.text("0")
    op.add_column(_TABLE, sa.Column(column, sa.Float(), nullable=missing, server_default=default))
    op.execute(f"UPDATE {_TABLE} SET {column} = {column}_before")  # noqa: S608  the same
    op.drop_column(_TABLE, f"{column}_before")
