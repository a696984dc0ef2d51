"""Makes the tables of calls and of what was said in them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision: str | None = "0012"

_GOING_ON = "state <> 'ended'"


def upgrade() -> None:
    op.create_table(
        "calls",
        _text("id"),
        _text("room"),
        _integer("epoch"),
        _text("assistant"),
        _text("caller"),
        _text("kind"),
        _text("state"),
        _text("agent"),
        _text("worker"),
        _text("job"),
        _text("keep"),
        _integer("keep_days", known=False),
        _time("last_beat"),
        _time("started_at"),
        _time("answered_at", known=False),
        _time("ended_at", known=False),
        _time("updated_at"),
        _text("reason"),
        _integer("items"),
        _text("voiced"),
        sa.Column("tools_in_flight", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        _time("expires_at", known=False),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
    )
    op.create_index(
        "uq_calls_room_going_on",
        "calls",
        ["room"],
        unique=True,
        sqlite_where=sa.text(_GOING_ON),
        postgresql_where=sa.text(_GOING_ON),
    )
    op.create_index("ix_calls_room_started_at", "calls", ["room", "started_at"])
    op.create_index("ix_calls_state_last_beat", "calls", ["state", "last_beat"])
    for name in ("started_at", "updated_at", "expires_at"):
        op.create_index(f"ix_calls_{name}", "calls", [name])
    op.create_table(
        "call_items",
        _text("call_id"),
        _integer("number"),
        _text("id"),
        _text("role"),
        _text("text"),
        sa.Column("tool_calls", sa.JSON(), nullable=False),
        _integer("interrupted_at", known=False),
        sa.Column("receipt", sa.JSON(), nullable=False),
        _integer("epoch"),
        _time("created_at"),
        _text("search"),
        sa.ForeignKeyConstraint(
            ["call_id"], ["calls.id"], name="fk_call_items_call_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("call_id", "number", name="pk_call_items"),
        sa.UniqueConstraint("call_id", "id", name="uq_call_items_call_id_id"),
    )


def downgrade() -> None:
    op.drop_table("call_items")
    op.drop_table("calls")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _integer(name: str, *, known: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=not known, autoincrement=False)


def _time(name: str, *, known: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not known)
