"""Limits API keys to routes, pools and an integration; existing keys may do what they could."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("routes", sa.JSON()))
    op.add_column("api_keys", sa.Column("pools", sa.JSON()))
    integration = sa.Column("integration", sa.Text(), nullable=False, server_default="automation")
    op.add_column("api_keys", integration)


def downgrade() -> None:
    for name in ("integration", "pools", "routes"):
        op.drop_column("api_keys", name)
