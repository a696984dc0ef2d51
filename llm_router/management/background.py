"""Runs the work of the HTTP process that no request asks for.

It checks the connections, delivers webhook events, adds up old usage, and deletes old chats and
calls.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta

from llm_router.clock import Clock
from llm_router.connections.store import ConnectionStore
from llm_router.management.checker import Checker, CheckerDeps
from llm_router.management.vetting import AddressRules
from llm_router.management.webhook_delivery import WebhookSender
from llm_router.options import HealthOptions
from llm_router.periodic import side_by_side
from llm_router.store.call_retention import CallRetention
from llm_router.store.chat_retention import ChatRetention
from llm_router.store.database import Database
from llm_router.store.leases import Lease
from llm_router.store.summaries import UsageMaintenance
from llm_router.store.usage import UsageLog
from llm_router.store.webhooks import Webhooks

_MISSED_CHECKS = 4
"""Rounds of checks that a process may miss before another process takes over."""


@asynccontextmanager
async def run_background(
    database: Database,
    store: ConnectionStore,
    webhooks: Webhooks,
    *,
    addresses: AddressRules,
    health: HealthOptions,
    clock: Clock,
    keep_usage_for: timedelta,
    keep_chats_for: timedelta | None,
    keep_calls_for: timedelta | None = None,
    keep_messages_for: timedelta | None = None,
) -> AsyncIterator[None]:
    """Runs the checker, the webhook delivery, the usage summaries, and the end of old records.

    They run beside the block, whose end cancels them and waits for their end. Of several processes
    that share the database, one at a time does each of the five. `keep_usage_for`: the age at which
    single attempts are replaced by hourly sums; `keep_chats_for`: the time after their last use
    when chats are deleted, `keep_calls_for` that after the end of calls, and
    `keep_messages_for` the age at which messages of callers are; None for never.
    """
    lease = Lease(database, "health checks", clock, _MISSED_CHECKS * health.poll_interval)
    deps = CheckerDeps(
        leads=lease.acquire,
        guard_of=addresses.for_connection,
        answered_since=UsageLog(database).answered_since,
    )
    checker = Checker(store, health, deps, clock=clock)
    sender = WebhookSender(database, webhooks, clock)
    summaries = UsageMaintenance(database, clock, keep_usage_for)
    chats = ChatRetention(database, clock, keep_chats_for)
    calls = CallRetention(database, clock, keep_calls_for, keep_messages_for)
    others = (sender, summaries, chats, calls)

    checks = AsyncExitStack()
    checks.push_async_callback(lease.release)
    checks.push_async_callback(checker.aclose)
    for work in (checker, *others):
        work.start()
    async with side_by_side(checks, *(aclosing(other) for other in others)):
        yield
