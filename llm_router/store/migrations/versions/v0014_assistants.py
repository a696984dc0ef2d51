"""Makes the tables of assistants and of their versions."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"


def upgrade() -> None:
    op.create_table(
        "assistants",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_assistants")),
    )
    op.create_table(
        "assistant_versions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("secrets_sealed", sa.Text()),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("restored", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assistant_versions")),
        sa.ForeignKeyConstraint(
            ["name"],
            ["assistants.name"],
            name=op.f("fk_assistant_versions_name"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("name", "version", name=op.f("uq_assistant_versions_name_version")),
    )


def downgrade() -> None:
    op.drop_table("assistant_versions")
    op.drop_table("assistants")
