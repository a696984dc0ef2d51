"""Counts the use by each API key, and limits it by the minute and by the month.

Keys that exist have no limits; what they used before is not counted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"

_LIMITS = {
    "rate_limit_rpm": sa.Integer,
    "rate_limit_tpm": sa.Integer,
    "monthly_budget": sa.Float,
    "monthly_tokens": sa.BigInteger,
}


def upgrade() -> None:
    for name, kind in _LIMITS.items():
        op.add_column("api_keys", sa.Column(name, kind()))
    key = sa.Column("api_key_id", sa.Text(), nullable=False, server_default="")
    op.add_column("llm_connection_usage", key)
    op.create_table(
        "api_key_usage",
        sa.Column("api_key_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("begins", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("api_key_id", "unit", "begins", name=op.f("pk_api_key_usage")),
    )
    op.create_index(
        op.f("ix_api_key_usage_unit_begins"), "api_key_usage", ["unit", "begins"], unique=False
    )


def downgrade() -> None:
    op.drop_table("api_key_usage")
    op.drop_column("llm_connection_usage", "api_key_id")
    for name in _LIMITS:
        op.drop_column("api_keys", name)
