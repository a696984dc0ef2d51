"""Defines all tables, for SQLite and PostgreSQL. `migrations/` makes them; a test compares both.

Text columns have no maximum length: records check their own. Times are aware and in UTC. A column
whose name ends in `_sealed` holds values sealed by `crypto.Vault`, bound to "<table>:<id>:<field>".
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, stored in UTC. SQLite has no zones, so there UTC is set again on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Number = BigInteger().with_variant(Integer, "sqlite")
"""Autoincrementing number; SQLite supports that for its INTEGER only."""


def _number() -> Column[Any]:
    return Column("id", _Number, primary_key=True, autoincrement=True)


def _text(name: str, *, key: bool = False) -> Column[Any]:
    return Column(name, Text, primary_key=key, nullable=False)


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False)


def _time(name: str, *, known: bool = True) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=not known)


# ── Connections ──────────────────────────────────────────────────────────────────────────────────

connections = Table(
    "llm_connections",
    metadata,
    # The fields of `Connection`, in its order.
    _text("id", key=True),
    _text("name"),
    _text("description"),
    Column("tags", JSON, nullable=False),
    _text("connection_type"),
    _text("provider"),
    _text("server"),
    _text("base_url"),
    _text("model_name"),
    _text("organization_id"),
    _text("api_version"),
    _text("deployment"),
    _text("region"),
    Column("timeout", Float, nullable=False),
    Column("max_retries", Integer),
    Column("extra_body", JSON, nullable=False),
    Column("temperature", Float),
    Column("top_p", Float),
    Column("max_tokens", Integer),
    Column("context_length", Integer),
    _flag("supports_tools"),
    _flag("supports_images"),
    _flag("supports_json"),
    Column("continuation", Text),
    _flag("is_active"),
    _flag("use_in_livekit"),
    _flag("use_in_mcp"),
    _flag("use_in_automation"),
    _text("pool"),
    Column("priority", Integer, nullable=False),
    Column("weight", Float, nullable=False),
    _text("hedge"),
    Column("price_in", Float),
    Column("price_out", Float),
    Column("rate_limit_rpm", Integer),
    Column("rate_limit_tpm", Integer),
    Column("monthly_budget", Float),
    _text("owner"),
    _text("team"),
    _text("visibility"),
    Column("is_guarded", Boolean, nullable=False, server_default=true()),
    Column("is_approved_for_calls", Boolean, nullable=False, server_default=false()),
    _text("status"),
    _text("status_reason"),
    Column("api_key_last4", Text),
    Column("header_names", JSON, nullable=False),
    _time("created_at"),
    _time("updated_at"),
    _time("last_used_at", known=False),
    Column("version", Integer, nullable=False),
    # Columns for the store alone.
    Column("api_key_sealed", Text),
    Column("headers_sealed", Text),
    Column("search", Text, nullable=False),  # casefolded, the name first
    UniqueConstraint("owner", "name"),
)

# "connections": the revision, which every change of a connection increases first.
# "usage": the id of the last attempt that is in the summaries.
counters = Table(
    "store_counters",
    metadata,
    _text("name", key=True),
    Column("value", BigInteger, nullable=False),
)

# The holder of each piece of work that only one process may do.
leases = Table(
    "store_leases",
    metadata,
    _text("name", key=True),
    _text("holder"),
    _time("until"),
)

health_checks = Table(
    "llm_connection_health_checks",
    metadata,
    _number(),
    Column("connection_id", ForeignKey("llm_connections.id", ondelete="CASCADE"), nullable=False),
    _time("at"),
    Column("kind", Text, nullable=False, server_default="probe"),  # of `connections.store.Check`
    _text("outcome"),  # "ok", "not asked" or a failure class
    Column("latency", Float),  # s
    _text("detail"),
    Index(None, "connection_id", "at"),
    Index(None, "at"),  # pruning
)

# ── Usage ────────────────────────────────────────────────────────────────────────────────────────
# No foreign key on the connection: usage and cost stay when it is removed.

usage = Table(
    "llm_connection_usage",
    metadata,
    _number(),
    _time("at"),  # when the attempt began
    _text("connection_id"),
    _text("connection_name"),
    _text("model"),
    _text("pool"),
    _text("integration"),
    _text("session_id"),
    _text("reply_id"),  # the attempts of one reply share it
    _text("role"),  # of the attempt: `routing.attempt.Role`
    _text("outcome"),  # won, lost, cancelled, or a failure class
    _flag("heard"),  # `UsageRecord.delivered`
    Column("ttft", Float),  # s; null: no first word
    Column("ttfc", Float),
    Column("ttft_bucket", SmallInteger),  # of `time_buckets.bucket_of`
    Column("ttfc_bucket", SmallInteger),
    Column("duration", Float, nullable=False),
    Column("silence_avoided", Float),  # s, on the attempt that replaced a silent one
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("tokens_cached", Integer, nullable=False),
    _flag("is_estimated"),  # tokens were not counted by the server
    Column("cost", Float),  # null: unknown price
    Index(None, "at"),  # pruning
    Index(None, "connection_id", "at"),
    Index(None, "session_id", "at"),
    Index(None, "reply_id"),
)

_SUMMED_BY = ("connection_id", "pool", "integration")


def _summary_table(name: str, key: Sequence[Column[Any]], *columns: Column[Any]) -> Table:
    """Makes a summary table. `at`: start of the hour or day (UTC); `key`: further key columns."""
    at = Column("at", UtcDateTime, primary_key=True)
    by = (_text(name, key=True) for name in _SUMMED_BY)
    index = Index(None, "connection_id", "at")
    # Rows are stored in the order of the key: queries read a time range and group by what follows.
    return Table(name, metadata, at, *key, *by, *columns, index, sqlite_with_rowid=False)


def _sums_table(name: str) -> Table:
    """Makes a table of sums. Replies, hedges and failovers are counts by role and outcome."""
    return _summary_table(
        name,
        [_text("role", key=True), _text("outcome", key=True)],
        _text("model", key=True),
        _text("connection_name"),
        Column("attempts", Integer, nullable=False),
        Column("heard", Integer, nullable=False),
        Column("duration", Float, nullable=False),
        Column("silence_avoided", Float, nullable=False),
        Column("tokens_in", BigInteger, nullable=False),
        Column("tokens_out", BigInteger, nullable=False),
        Column("tokens_cached", BigInteger, nullable=False),
        Column("estimated", Integer, nullable=False),
        Column("cost", Float, nullable=False),
    )


def _times_table(name: str) -> Table:
    """Makes a table of histograms, whose sums over hours and connections still give quantiles."""
    return _summary_table(
        name,
        [
            _text("measure", key=True),  # ttft, ttfc
            Column("bucket", SmallInteger, primary_key=True, autoincrement=False),
        ],
        Column("attempts", Integer, nullable=False),
    )


# They contain the attempts up to the id "usage" in `counters`.
usage_hourly = _sums_table("llm_connection_usage_hourly")
usage_daily = _sums_table("llm_connection_usage_daily")
times_hourly = _times_table("llm_connection_times_hourly")
times_daily = _times_table("llm_connection_times_daily")

# Use of connections against their limits, over all processes.
limit_counts = Table(
    "llm_connection_limit_counts",
    metadata,
    _text("connection_id", key=True),
    _text("unit", key=True),  # slot, month: see `routing.limits.Period`
    Column("begins", Float, primary_key=True, autoincrement=False),  # s since 1970
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
    Index(None, "unit", "begins"),  # pruning
)

scoreboard = Table(
    "scoreboard",
    metadata,
    _text("key", key=True),
    _text("name"),
    Column("at", Float, nullable=False),  # s since 1970, as in `sync.scoreboard.base.Note`
    Column("weights", JSON, nullable=False),
    _flag("is_open"),
    Column("open_until", Float, nullable=False),
    Column("openings", Integer, nullable=False),
    _text("reason"),
    Column("version", BigInteger, nullable=False),
    Index(None, "version"),
    Index(None, "at"),
)

# ── People, programs and what they did ───────────────────────────────────────────────────────────

api_keys = Table(
    "api_keys",
    metadata,
    _text("id", key=True),  # the public part of the key
    _text("name"),
    _text("hash"),
    _text("last4"),
    _text("role"),
    _text("owner"),
    _text("team"),
    Column("may_serve_calls", Boolean, nullable=False, server_default=false()),
    _text("created_by"),
    _time("created_at"),
    _time("expires_at", known=False),
    _time("last_used_at", known=False),
    _time("revoked_at", known=False),
    UniqueConstraint("hash"),
    Index(None, "owner"),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    _text("hash", key=True),  # of the cookie
    Column("api_key_id", ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    _time("created_at"),
    _time("expires_at"),
    Index(None, "api_key_id"),
    Index(None, "expires_at"),
)

audit_log = Table(
    "audit_log",
    metadata,
    _number(),
    _time("at"),
    _text("actor"),
    _text("role"),
    _text("origin"),
    _text("action"),
    _text("kind"),
    _text("target"),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Index(None, "at"),
    Index(None, "target", "at"),
)

# ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────

webhooks = Table(
    "webhooks",
    metadata,
    _text("id", key=True),
    _text("name"),
    _text("url"),
    _text("secret_sealed"),
    Column("events", JSON, nullable=False),
    _flag("is_active"),
    _text("owner"),
    _text("team"),
    _time("created_at"),
    _time("updated_at"),
    Column("version", Integer, nullable=False),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    _number(),
    Column("webhook_id", ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    _text("event"),
    Column("payload", JSON, nullable=False),
    _text("status"),  # waiting, delivered, given_up
    Column("attempts", Integer, nullable=False),
    Column("last_status", Integer),  # HTTP
    _text("last_error"),
    _time("created_at"),
    _time("next_at", known=False),
    _time("delivered_at", known=False),
    Index(None, "status", "next_at"),
    Index(None, "webhook_id", "created_at"),
)

# ── Chats ────────────────────────────────────────────────────────────────────────────────────────

chat_sessions = Table(
    "chat_sessions",
    metadata,
    _text("id", key=True),
    _text("title"),
    _text("owner"),
    Column("settings", JSON, nullable=False),
    _time("created_at"),
    _time("updated_at"),
    Index(None, "owner", "updated_at"),
)

chat_messages = Table(
    "chat_messages",
    metadata,
    _number(),
    Column("session_id", ForeignKey("chat_sessions.id", ondelete="CASCADE"), nullable=False),
    Column("place", Integer, nullable=False),
    _text("role"),
    Column("content", JSON, nullable=False),
    Column("route", JSON, nullable=False),  # connection, latency, failovers
    _time("created_at"),
    UniqueConstraint("session_id", "place"),
)
