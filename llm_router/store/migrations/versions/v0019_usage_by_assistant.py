"""Counts usage by assistant over all connections, finds the calls behind a figure by one index, and
lists workers.

What was counted before belongs to no assistant. The index by session and time, which nothing reads,
makes room for the one of calls.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision: str | None = "0018"

_USAGE, _TIMES, _WORKERS = "llm_connection_usage", "llm_connection_times", "call_workers"
_UNITS = ("hourly", "daily")
_BY = ("pool", "integration")
_SUMS: Mapping[str, Any] = {
    "attempts": sa.Integer(),
    "heard": sa.Integer(),
    "duration": sa.Float(),
    "silence_avoided": sa.Float(),
    "tokens_in": sa.BigInteger(),
    "tokens_out": sa.BigInteger(),
    "tokens_cached": sa.BigInteger(),
    "estimated": sa.Integer(),
    "cost": sa.Float(),
}


def upgrade() -> None:
    assistant = sa.Column("assistant", sa.Text(), nullable=False, server_default="")
    op.add_column(_USAGE, assistant)
    op.drop_index(f"ix_{_USAGE}_session_id_at", _USAGE)
    calls = ["session_id", "role", "outcome", "pool", "connection_id"]
    op.create_index(f"ix_{_USAGE}_calls", _USAGE, calls)
    for unit in _UNITS:
        _total(f"llm_usage_{unit}", f"{_USAGE}_{unit}", ("role", "outcome"), _SUMS)
        counts = {"attempts": sa.Integer()}
        _total(f"llm_times_{unit}", f"{_TIMES}_{unit}", ("measure", "bucket"), counts)
    op.create_table(
        _WORKERS,
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("takes_calls", sa.Boolean(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("load", sa.Float(), nullable=False),
        sa.Column("load_limit", sa.Float(), nullable=False),
        sa.Column("ready", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=f"pk_{_WORKERS}"),
    )
    op.create_index(f"ix_{_WORKERS}_seen_at", _WORKERS, ["seen_at"])


def downgrade() -> None:
    op.drop_table(_WORKERS)
    for unit in _UNITS:
        op.drop_table(f"llm_times_{unit}")
        op.drop_table(f"llm_usage_{unit}")
    op.drop_index(f"ix_{_USAGE}_calls", _USAGE)
    op.create_index(f"ix_{_USAGE}_session_id_at", _USAGE, ["session_id", "at"])
    op.drop_column(_USAGE, "assistant")


def _total(table: str, source: str, of: tuple[str, str], sums: Mapping[str, Any]) -> None:
    """Makes a table of totals, and fills it from the sums by connection."""
    key = ["at", *of, *_BY]
    columns = [_key(name) for name in [*key, "assistant"]]
    columns += [sa.Column(name, kind, nullable=False) for name, kind in sums.items()]
    primary = sa.PrimaryKeyConstraint(*key, "assistant", name=f"pk_{table}")
    op.create_table(table, *columns, primary, sqlite_with_rowid=False)
    keys, added = ", ".join(key), ", ".join(f"SUM({name})" for name in sums)
    op.execute(
        f"INSERT INTO {table} ({keys}, assistant, {', '.join(sums)})"  # noqa: S608  our own names
        f" SELECT {keys}, '', {added} FROM {source} GROUP BY {keys}"
    )


def _key(name: str) -> sa.Column[Any]:
    kinds: dict[str, Any] = {"at": sa.DateTime(timezone=True), "bucket": sa.SmallInteger()}
    return sa.Column(name, kinds.get(name, sa.Text()), nullable=False)
