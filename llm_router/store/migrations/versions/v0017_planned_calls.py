"""Makes the table of planned calls."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision: str | None = "0016"


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False)


def _time(name: str, *, known: bool = True) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not known)


def upgrade() -> None:
    op.create_table(
        "planned_calls",
        *map(_text, ("id", "number", "assistant")),
        sa.Column("variables", sa.JSON(), nullable=False),
        _text("voicemail"),
        sa.Column("detect_machine", sa.Boolean(), nullable=False),
        _text("timezone"),
        _time("earliest"),
        _time("latest"),
        _text("hours"),
        sa.Column("retry_after_minutes", sa.JSON(), nullable=False),
        *map(_text, ("idempotency_key", "author", "status", "outcome", "reason")),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _time("next_at", known=False),
        *map(_text, ("room", "holder")),
        _time("dialed_at", known=False),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_planned_calls"),
    )
    op.create_index(
        "uq_planned_calls_author_key",
        "planned_calls",
        ["author", "idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key <> ''"),
        postgresql_where=sa.text("idempotency_key <> ''"),
    )
    op.create_index("ix_planned_calls_status_next_at", "planned_calls", ["status", "next_at"])
    op.create_index("ix_planned_calls_dialed_at", "planned_calls", ["dialed_at"])
    op.create_index("ix_planned_calls_created_at", "planned_calls", ["created_at"])


def downgrade() -> None:
    op.drop_table("planned_calls")
