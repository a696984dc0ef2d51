"""Defines the tables, for SQLite and PostgreSQL. `migrations/` makes them; a test compares both.

Text columns have no maximum length: records check their own. Times are aware and in UTC. A column
whose name ends in `_sealed` holds values sealed by `crypto.Vault`, bound to "<table>:<id>:<field>".
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)

import llm_router.store.assistant_tables
import llm_router.store.call_tables
import llm_router.store.message_tables
import llm_router.store.planned_call_tables
import llm_router.store.site_tables
import llm_router.store.summary_tables
import llm_router.store.worker_tables  # noqa: F401  its table is, too
from llm_router.store.columns import METADATA, flag, number, text, time

metadata = METADATA

# ── Connections ──────────────────────────────────────────────────────────────────────────────────

connections = Table(
    "llm_connections",
    metadata,
    # The fields of `Connection`, in its order.
    text("id", key=True),
    text("name"),
    text("description"),
    Column("tags", JSON, nullable=False),
    text("connection_type"),
    text("provider"),
    text("server"),
    text("base_url"),
    text("model_name"),
    Column("aliases", JSON, nullable=False, server_default="[]"),
    Column("serves", Text, nullable=False, server_default="chat"),
    text("organization_id"),
    text("api_version"),
    text("deployment"),
    text("region"),
    Column("timeout", Float, nullable=False),
    Column("max_retries", Integer),
    Column("extra_body", JSON, nullable=False),
    Column("temperature", Float),
    Column("top_p", Float),
    Column("max_tokens", Integer),
    Column("context_length", Integer),
    flag("supports_tools"),
    flag("supports_images"),
    flag("supports_json"),
    Column("continuation", Text),
    flag("is_active"),
    flag("use_in_livekit"),
    flag("use_in_mcp"),
    flag("use_in_automation"),
    text("pool"),
    Column("priority", Integer, nullable=False),
    Column("weight", Float, nullable=False),
    text("hedge"),
    Column("price_in", Float),
    Column("price_out", Float),
    Column("rate_limit_rpm", Integer),
    Column("rate_limit_tpm", Integer),
    Column("monthly_budget", Float),
    text("owner"),
    text("team"),
    text("visibility"),
    Column("is_guarded", Boolean, nullable=False, server_default=true()),
    Column("is_approved_for_calls", Boolean, nullable=False, server_default=false()),
    text("status"),
    text("status_reason"),
    Column("api_key_last4", Text),
    Column("header_names", JSON, nullable=False),
    time("created_at"),
    time("updated_at"),
    time("last_used_at", known=False),
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
    text("name", key=True),
    Column("value", BigInteger, nullable=False),
)

# The holder of each piece of work that only one process may do.
leases = Table(
    "store_leases",
    metadata,
    text("name", key=True),
    text("holder"),
    time("until"),
)

health_checks = Table(
    "llm_connection_health_checks",
    metadata,
    number(),
    Column("connection_id", ForeignKey("llm_connections.id", ondelete="CASCADE"), nullable=False),
    time("at"),
    Column("kind", Text, nullable=False, server_default="probe"),  # of `connections.store.Check`
    text("outcome"),  # "ok", "not asked" or a failure class
    Column("latency", Float),  # s
    text("detail"),
    Index(None, "connection_id", "at"),
    Index(None, "at"),  # pruning
)

# ── Usage ────────────────────────────────────────────────────────────────────────────────────────
# No foreign key on the connection: usage and cost stay when it is removed.

usage = Table(
    "llm_connection_usage",
    metadata,
    number(),
    time("at"),  # when the attempt began
    text("connection_id"),
    text("connection_name"),
    text("model"),
    text("pool"),
    text("integration"),
    Column("api_key_id", Text, nullable=False, server_default=""),
    Column("assistant", Text, nullable=False, server_default=""),
    text("session_id"),  # of a call: its room
    text("reply_id"),  # the attempts of one reply share it
    text("role"),  # of the attempt: `routing.attempt.Role`
    text("outcome"),  # won, lost, cancelled, or a failure class
    flag("heard"),  # `UsageRecord.delivered`
    Column("ttft", Float),  # s; null: no first word
    Column("ttfc", Float),
    Column("ttft_bucket", SmallInteger),  # of `time_buckets.bucket_of`
    Column("ttfc_bucket", SmallInteger),
    Column("duration", Float, nullable=False),
    Column("silence_avoided", Float),  # s, on the attempt that replaced a silent one
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("tokens_cached", Integer, nullable=False),
    flag("is_estimated"),  # tokens were not counted by the server
    Column("cost", Float),  # null: unknown price
    Index(None, "at"),  # pruning
    Index(None, "connection_id", "at"),
    Index(
        "ix_llm_connection_usage_calls", "session_id", "role", "outcome", "pool", "connection_id"
    ),
    Index(None, "reply_id"),
)

# Use of connections against their limits, over all processes.
limit_counts = Table(
    "llm_connection_limit_counts",
    metadata,
    text("connection_id", key=True),
    text("unit", key=True),  # slot, month: see `routing.limits.Period`
    Column("begins", Float, primary_key=True, autoincrement=False),  # s since 1970
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
    Index(None, "unit", "begins"),  # pruning
)

scoreboard = Table(
    "scoreboard",
    metadata,
    text("key", key=True),
    text("name"),
    Column("at", Float, nullable=False),  # s since 1970, as in `sync.scoreboard.base.Note`
    Column("weights", JSON, nullable=False),
    flag("is_open"),
    Column("open_until", Float, nullable=False),
    Column("openings", Integer, nullable=False),
    text("reason"),
    Column("version", BigInteger, nullable=False),
    Index(None, "version"),
    Index(None, "at"),
)

# ── People, programs and what they did ───────────────────────────────────────────────────────────

api_keys = Table(
    "api_keys",
    metadata,
    text("id", key=True),  # the public part of the key
    text("name"),
    text("hash"),
    text("last4"),
    text("role"),
    text("owner"),
    text("team"),
    Column("may_serve_calls", Boolean, nullable=False, server_default=false()),
    Column("routes", JSON(none_as_null=True)),
    Column("pools", JSON(none_as_null=True)),
    Column("integration", Text, nullable=False, server_default="automation"),
    Column("rate_limit_rpm", Integer),
    Column("rate_limit_tpm", Integer),
    Column("monthly_budget", Float),
    Column("monthly_tokens", BigInteger),
    text("created_by"),
    time("created_at"),
    time("expires_at", known=False),
    time("last_used_at", known=False),
    time("revoked_at", known=False),
    UniqueConstraint("hash"),
    Index(None, "owner"),
)

# Use by each API key or site, as the usage log counts it. No foreign key: the fixed key is not
# stored, and a site is no API key.
api_key_usage = Table(
    "api_key_usage",
    metadata,
    text("api_key_id", key=True),
    text("unit", key=True),  # minute, day, month
    Column("begins", Float, primary_key=True, autoincrement=False),  # s since 1970
    Column("tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
    Index(None, "unit", "begins"),  # pruning
)

sign_ins = Table(
    "sign_ins",
    metadata,
    text("hash", key=True),  # of the cookie
    Column("api_key_id", ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    time("created_at"),
    time("expires_at"),
    Index(None, "api_key_id"),
    Index(None, "expires_at"),
)

audit_log = Table(
    "audit_log",
    metadata,
    number(),
    time("at"),
    text("actor"),
    text("role"),
    text("origin"),
    text("action"),
    text("kind"),
    text("target"),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Index(None, "at"),
    Index(None, "target", "at"),
)

# ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────

webhooks = Table(
    "webhooks",
    metadata,
    text("id", key=True),
    text("name"),
    text("url"),
    text("secret_sealed"),
    Column("events", JSON, nullable=False),
    flag("is_active"),
    text("owner"),
    text("team"),
    time("created_at"),
    time("updated_at"),
    Column("version", Integer, nullable=False),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    number(),
    Column("webhook_id", ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    text("event"),
    Column("payload", JSON, nullable=False),
    text("status"),  # waiting, delivered, given_up
    Column("attempts", Integer, nullable=False),
    Column("last_status", Integer),  # HTTP
    text("last_error"),
    time("created_at"),
    time("next_at", known=False),
    time("delivered_at", known=False),
    Index(None, "status", "next_at"),
    Index(None, "webhook_id", "created_at"),
)

# ── Chats ────────────────────────────────────────────────────────────────────────────────────────

chat_sessions = Table(
    "chat_sessions",
    metadata,
    text("id", key=True),
    text("owner"),
    text("title"),
    text("model"),
    text("system_prompt"),
    Column("parameters", JSON, nullable=False),
    Column("current", Integer, nullable=False),  # the last message of the path shown; 0: none
    Column("messages", Integer, nullable=False),  # the number of the newest message
    Column("characters", Integer, nullable=False),  # of all messages
    time("created_at"),
    time("updated_at"),
    text("search"),  # the title, casefolded
    Index(None, "owner", "updated_at"),
    Index(None, "updated_at"),  # retention
)

# The messages of a chat are a tree; they are numbered from 1 in the order in which they were made.
chat_messages = Table(
    "chat_messages",
    metadata,
    Column("session_id", ForeignKey("chat_sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("parent", Integer, nullable=False),  # 0: none
    text("role"),  # user, assistant
    text("content"),
    text("status"),  # of `store.chat_tree.Status`
    text("problem"),  # of a reply that was broken off
    Column("route", JSON, nullable=False),  # connection, model, times
    time("created_at"),
    time("alive_until", known=False),  # of a running reply: later its process is dead
    time("read_at", known=False),  # when another process last read the reply
    text("search"),  # the content, casefolded
)
