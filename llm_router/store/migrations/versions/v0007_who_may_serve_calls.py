"""Makes answering live callers a right of its own.

Connections that serve calls today go on doing so: a call must not fall silent by an update.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"

_COLUMNS = (("llm_connections", "is_approved_for_calls"), ("api_keys", "may_serve_calls"))


def upgrade() -> None:
    for table, name in _COLUMNS:
        column: sa.Column[bool] = sa.Column(
            name, sa.Boolean(), nullable=False, server_default=sa.false()
        )
        op.add_column(table, column)
    op.execute("UPDATE llm_connections SET is_approved_for_calls = use_in_livekit")


def downgrade() -> None:
    for table, name in _COLUMNS:
        op.drop_column(table, name)
