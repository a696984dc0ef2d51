"""Lets a price be null, which means: by the price list; 0 now means free.

Before, 0 meant both. So a connection whose prices are both 0 gets null, which charges it as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"

_TABLE, _PRICES = "llm_connections", ("price_in", "price_out")


def upgrade() -> None:
    for price in _PRICES:
        _set_nullable(price)
    op.execute(
        f"UPDATE {_TABLE} SET price_in = NULL, price_out = NULL"  # noqa: S608  our own names
        " WHERE price_in = 0 AND price_out = 0"
    )


def downgrade() -> None:
    for price in _PRICES:
        op.execute(f"UPDATE {_TABLE} SET {price} = 0 WHERE {price} IS NULL")  # noqa: S608  the same
    for price in _PRICES:
        _set_nullable(price, nullable=False)


def _set_nullable(column: str, *, nullable: bool = True) -> None:
    if op.get_context().dialect.name == "postgresql":
        op.alter_column(_TABLE, column, existing_type=sa.Float(), nullable=nullable)
        return
    # SQLite cannot alter a column, and dropping the table for a new one would delete the rows of
    # other tables that refer to it.
    op.alter_column(_TABLE, column, new_column_name=f"{column}_before")
    default = None if nullable else sa.text("0")
    op.add_column(_TABLE, sa.Column(column, sa.Float(), nullable=nullable, server_default=default))
    op.execute(f"UPDATE {_TABLE} SET {column} = {column}_before")  # noqa: S608  the same
    op.drop_column(_TABLE, f"{column}_before")
