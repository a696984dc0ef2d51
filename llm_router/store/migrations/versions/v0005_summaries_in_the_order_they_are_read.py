"""Reorders the keys of the summaries: the columns that queries group by come first.

So the database need not sort. A page takes a third less time, a page by the hour more than half.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"

_BY = ("connection_id", "pool", "integration")
_SUMS = (("at", "role", "outcome", *_BY, "model"), ("at", *_BY, "model", "role", "outcome"))
_TIMES = (("at", "measure", "bucket", *_BY), ("at", *_BY, "measure", "bucket"))
"""Primary keys after and before this migration."""


def upgrade() -> None:
    _set_order(0)


def downgrade() -> None:
    _set_order(1)


def _set_order(index: int) -> None:
    for unit in ("hourly", "daily"):
        _reorder(f"llm_connection_usage_{unit}", _SUMS[index], _sums())
        _reorder(f"llm_connection_times_{unit}", _TIMES[index], _times())


def _reorder(table: str, key: Sequence[str], rest: Sequence[sa.Column[Any]]) -> None:
    name = f"pk_{table}"
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint(name, table, type_="primary")
        op.create_primary_key(name, table, [*key])
        return
    # SQLite stores such a table in the order of its key, so it is rewritten.
    columns = [*map(_key, key), *rest]
    op.create_table(
        f"{table}_new",
        *columns,
        sa.PrimaryKeyConstraint(*key, name=name),
        sqlite_with_rowid=False,
    )
    names = ", ".join(column.name for column in columns)
    op.execute(f"INSERT INTO {table}_new ({names}) SELECT {names} FROM {table}")  # noqa: S608  our own names
    op.drop_table(table)
    op.rename_table(f"{table}_new", table)
    op.create_index(f"ix_{table}_connection_id_at", table, ["connection_id", "at"])


def _key(name: str) -> sa.Column[Any]:
    kinds: dict[str, Any] = {"at": sa.DateTime(timezone=True), "bucket": sa.SmallInteger()}
    return sa.Column(name, kinds.get(name, sa.Text()), nullable=False)


def _sums() -> list[sa.Column[Any]]:
    kinds: dict[str, Any] = {
        "connection_name": sa.Text(), "attempts": sa.Integer(), "heard": sa.Integer(),
        "duration": sa.Float(), "silence_avoided": sa.Float(), "tokens_in": sa.BigInteger(),
        "tokens_out": sa.BigInteger(), "tokens_cached": sa.BigInteger(),
        "estimated": sa.Integer(), "cost": sa.Float(),
    }  # fmt: skip
    return [sa.Column(name, kind, nullable=False) for name, kind in kinds.items()]


def _times() -> list[sa.Column[Any]]:
    return [sa.Column("attempts", sa.Integer(), nullable=False)]
