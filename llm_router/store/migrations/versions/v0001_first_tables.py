"""Creates the first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    _connections()
    _beside_connections()
    _usage()
    for unit in ("hourly", "daily"):
        _usage_summary(f"llm_connection_usage_{unit}")
        _times_summary(f"llm_connection_times_{unit}")
    _people()
    _webhooks()
    _chats()
    op.execute("INSERT INTO store_counters (name, value) VALUES ('connections', 0), ('usage', 0)")


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _connections() -> None:
    op.create_table(
        "llm_connections",
        _text("id"),
        _text("name"),
        _text("description"),
        _json("tags"),
        _text("connection_type"),
        _text("provider"),
        _text("server"),
        _text("base_url"),
        _text("model_name"),
        _text("organization_id"),
        _text("api_version"),
        _text("deployment"),
        _text("region"),
        sa.Column("timeout", sa.Float(), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        _json("extra_body"),
        sa.Column("temperature", sa.Float(), nullable=True),
        sa.Column("top_p", sa.Float(), nullable=True),
        sa.Column("max_tokens", sa.Integer(), nullable=True),
        sa.Column("context_length", sa.Integer(), nullable=True),
        _flag("supports_tools"),
        _flag("supports_images"),
        _flag("supports_json"),
        sa.Column("continuation", sa.Text(), nullable=True),
        _flag("is_active"),
        _flag("use_in_livekit"),
        _flag("use_in_mcp"),
        _flag("use_in_automation"),
        _text("pool"),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        _text("hedge"),
        sa.Column("price_in", sa.Float(), nullable=False),
        sa.Column("price_out", sa.Float(), nullable=False),
        sa.Column("rate_limit_rpm", sa.Integer(), nullable=True),
        sa.Column("rate_limit_tpm", sa.Integer(), nullable=True),
        sa.Column("monthly_budget", sa.Float(), nullable=True),
        _text("owner"),
        _text("team"),
        _text("visibility"),
        _text("status"),
        _text("status_reason"),
        sa.Column("api_key_last4", sa.Text(), nullable=True),
        _json("header_names"),
        _time("created_at"),
        _time("updated_at"),
        _time("last_used_at", known=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("api_key_sealed", sa.Text(), nullable=True),
        sa.Column("headers_sealed", sa.Text(), nullable=True),
        _text("search"),
        sa.PrimaryKeyConstraint("id", name="pk_llm_connections"),
        sa.UniqueConstraint("owner", "name", name="uq_llm_connections_owner_name"),
    )


def _beside_connections() -> None:
    op.create_table(
        "store_counters",
        _text("name"),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_store_counters"),
    )
    op.create_table(
        "store_leases",
        _text("name"),
        _text("holder"),
        _time("until"),
        sa.PrimaryKeyConstraint("name", name="pk_store_leases"),
    )
    op.create_table(
        "llm_connection_health_checks",
        _number(),
        _text("connection_id"),
        _time("at"),
        _text("outcome"),
        sa.Column("latency", sa.Float(), nullable=True),
        _text("detail"),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["llm_connections.id"],
            name="fk_llm_connection_health_checks_connection_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_llm_connection_health_checks"),
    )
    op.create_index("ix_llm_connection_health_checks_at", "llm_connection_health_checks", ["at"])
    op.create_index(
        "ix_llm_connection_health_checks_connection_id_at",
        "llm_connection_health_checks",
        ["connection_id", "at"],
    )
    op.create_table(
        "llm_connection_limit_counts",
        _text("connection_id"),
        _text("unit"),
        sa.Column("begins", sa.Float(), nullable=False, autoincrement=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint(
            "connection_id", "unit", "begins", name="pk_llm_connection_limit_counts"
        ),
    )
    op.create_index(
        "ix_llm_connection_limit_counts_unit_begins",
        "llm_connection_limit_counts",
        ["unit", "begins"],
    )
    op.create_table(
        "scoreboard",
        _text("key"),
        _text("name"),
        sa.Column("at", sa.Float(), nullable=False),
        _json("weights"),
        _flag("is_open"),
        sa.Column("open_until", sa.Float(), nullable=False),
        sa.Column("openings", sa.Integer(), nullable=False),
        _text("reason"),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_scoreboard"),
    )
    op.create_index("ix_scoreboard_at", "scoreboard", ["at"])
    op.create_index("ix_scoreboard_version", "scoreboard", ["version"])


def _usage() -> None:
    op.create_table(
        "llm_connection_usage",
        _number(),
        _time("at"),
        _text("connection_id"),
        _text("connection_name"),
        _text("model"),
        _text("pool"),
        _text("integration"),
        _text("session_id"),
        _text("reply_id"),
        _text("role"),
        _text("outcome"),
        _flag("heard"),
        sa.Column("ttft", sa.Float(), nullable=True),
        sa.Column("ttfc", sa.Float(), nullable=True),
        sa.Column("ttft_bucket", sa.SmallInteger(), nullable=True),
        sa.Column("ttfc_bucket", sa.SmallInteger(), nullable=True),
        sa.Column("duration", sa.Float(), nullable=False),
        sa.Column("silence_avoided", sa.Float(), nullable=True),
        sa.Column("tokens_in", sa.Integer(), nullable=False),
        sa.Column("tokens_out", sa.Integer(), nullable=False),
        sa.Column("tokens_cached", sa.Integer(), nullable=False),
        _flag("is_estimated"),
        sa.Column("cost", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_llm_connection_usage"),
    )
    op.create_index("ix_llm_connection_usage_at", "llm_connection_usage", ["at"])
    op.create_index(
        "ix_llm_connection_usage_connection_id_at", "llm_connection_usage", ["connection_id", "at"]
    )
    op.create_index(
        "ix_llm_connection_usage_session_id_at", "llm_connection_usage", ["session_id", "at"]
    )


def _usage_summary(name: str) -> None:
    by = ("connection_id", "pool", "integration", "model", "role", "outcome")
    op.create_table(
        name,
        _time("at"),
        *(_text(key) for key in by),
        _text("connection_name"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("heard", sa.Integer(), nullable=False),
        sa.Column("duration", sa.Float(), nullable=False),
        sa.Column("silence_avoided", sa.Float(), nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.Column("tokens_cached", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("at", *by, name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )
    op.create_index(f"ix_{name}_connection_id_at", name, ["connection_id", "at"])


def _times_summary(name: str) -> None:
    by = ("connection_id", "pool", "integration", "measure")
    op.create_table(
        name,
        _time("at"),
        *(_text(key) for key in by),
        sa.Column("bucket", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("at", *by, "bucket", name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )
    op.create_index(f"ix_{name}_connection_id_at", name, ["connection_id", "at"])


def _people() -> None:
    op.create_table(
        "api_keys",
        _text("id"),
        _text("name"),
        _text("hash"),
        _text("last4"),
        _text("role"),
        _text("owner"),
        _text("team"),
        _text("created_by"),
        _time("created_at"),
        _time("expires_at", known=False),
        _time("last_used_at", known=False),
        _time("revoked_at", known=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    op.create_index("ix_api_keys_owner", "api_keys", ["owner"])
    op.create_table(
        "sign_ins",
        _text("hash"),
        _text("api_key_id"),
        _time("created_at"),
        _time("expires_at"),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name="fk_sign_ins_api_key_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_sign_ins"),
    )
    op.create_index("ix_sign_ins_api_key_id", "sign_ins", ["api_key_id"])
    op.create_index("ix_sign_ins_expires_at", "sign_ins", ["expires_at"])
    op.create_table(
        "audit_log",
        _number(),
        _time("at"),
        _text("actor"),
        _text("role"),
        _text("origin"),
        _text("action"),
        _text("kind"),
        _text("target"),
        _json("before"),
        _json("after"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"])
    op.create_index("ix_audit_log_target_at", "audit_log", ["target", "at"])


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        _text("id"),
        _text("name"),
        _text("url"),
        _text("secret_sealed"),
        _json("events"),
        _flag("is_active"),
        _text("owner"),
        _text("team"),
        _time("created_at"),
        _time("updated_at"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_table(
        "webhook_deliveries",
        _number(),
        _text("webhook_id"),
        _text("event"),
        _json("payload"),
        _text("status"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_status", sa.Integer(), nullable=True),
        _text("last_error"),
        _time("created_at"),
        _time("next_at", known=False),
        _time("delivered_at", known=False),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name="fk_webhook_deliveries_webhook_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    op.create_index(
        "ix_webhook_deliveries_status_next_at", "webhook_deliveries", ["status", "next_at"]
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_created_at",
        "webhook_deliveries",
        ["webhook_id", "created_at"],
    )


def _chats() -> None:
    op.create_table(
        "chat_sessions",
        _text("id"),
        _text("title"),
        _text("owner"),
        _json("settings"),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_chat_sessions"),
    )
    op.create_index("ix_chat_sessions_owner_updated_at", "chat_sessions", ["owner", "updated_at"])
    op.create_table(
        "chat_messages",
        _number(),
        _text("session_id"),
        sa.Column("place", sa.Integer(), nullable=False),
        _text("role"),
        _json("content"),
        _json("route"),
        _time("created_at"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["chat_sessions.id"],
            name="fk_chat_messages_session_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_chat_messages"),
        sa.UniqueConstraint("session_id", "place", name="uq_chat_messages_session_id_place"),
    )


_TABLES = (
    "llm_connections",
    "store_counters",
    "store_leases",
    "llm_connection_health_checks",
    "llm_connection_limit_counts",
    "scoreboard",
    "llm_connection_usage",
    "llm_connection_usage_hourly",
    "llm_connection_times_hourly",
    "llm_connection_usage_daily",
    "llm_connection_times_daily",
    "api_keys",
    "sign_ins",
    "audit_log",
    "webhooks",
    "webhook_deliveries",
    "chat_sessions",
    "chat_messages",
)


def _number() -> sa.Column[Any]:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", number, autoincrement=True, nullable=False)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(), nullable=False)


def _time(name: str, *, known: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not known)
