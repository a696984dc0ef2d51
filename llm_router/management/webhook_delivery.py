"""Delivers the events of the outbox to webhooks: at least once, or until it gives up."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import httpx2

from llm_router.clock import Clock, Rng, SystemClock, SystemRng, utc_now
from llm_router.connections.access import SYSTEM
from llm_router.connections.webhooks import TEST_EVENT, make_payload, retry_delay, sign
from llm_router.errors import (
    AddressRefusedError,
    NotFoundError,
    SealError,
    StoreError,
    UnreachableError,
)
from llm_router.net.environment import tls_context
from llm_router.net.guard import AddressGuard
from llm_router.net.transports import EnvironmentTransport
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.database import Database
from llm_router.store.leases import Lease
from llm_router.store.outbox import Delivery, Outbox
from llm_router.store.webhooks import Webhook, Webhooks

_logger = logging.getLogger("llm_router")

_POLL_EVERY = 1.0
"""Seconds between two reads of the outbox."""
_LEASE_FOR = 30.0
_TIMEOUT = 10.0
"""Time limit of a receiver (s): it should store the message and do its work later."""
_TEST_TIMEOUT = 4.0
"""Time limit of a test event (s), for whose result a person waits."""
_MAX_SENDING = 8
_KEEP_FOR = timedelta(days=30)
_PRUNE_EVERY = 600.0
_GONE = 410
_ANY_ADDRESS = AddressGuard(allow_private=True)
"""Only admins make webhooks, and they may name any address."""


async def send(
    webhook: Webhook,
    secret: str,
    delivery: Delivery,
    guard: AddressGuard,
    clock: Clock,
    *,
    within: float = _TIMEOUT,
) -> Delivery:
    """Sends the delivery once, within so many seconds.

    Returns it as delivered, or still as waiting, with the error.
    """
    body, headers = sign(delivery.payload, secret, clock.wall())
    status = None
    error = ""
    with suppress(UnreachableError):  # raised again by the request if it needs it
        await asyncio.to_thread(tls_context)  # takes tens of milliseconds
    # A client for each delivery: a webhook gets a few events a day.
    async with httpx2.AsyncClient(
        transport=EnvironmentTransport(guard), timeout=within, trust_env=False
    ) as client:
        try:
            async with (
                asyncio.timeout(within),
                client.stream("POST", webhook.url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
                if not answer.is_success:
                    error = _refusal(answer)
        except TimeoutError:
            error = f"no answer within {within:g} s"
        except AddressRefusedError as refused:
            error = str(refused)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as failure:
            error = f"no answer ({type(failure).__name__})"  # its text may repeat the address
    return replace(
        delivery,
        attempts=delivery.attempts + 1,
        last_status=status,
        last_error=error,
        status="waiting" if error else "delivered",
        next_at=None,
        delivered_at=None if error else _time(clock),
    )


async def send_test(webhook: Webhook, secret: str, guard: AddressGuard, clock: Clock) -> Delivery:
    """Sends a test event once. Returns it as delivered or as given up."""
    now = _time(clock)
    event = Delivery(
        id=0,
        webhook_id=webhook.id,
        event=TEST_EVENT,
        payload=make_payload(TEST_EVENT, now, {"webhook_id": webhook.id, "name": webhook.name}),
        status="waiting",
        attempts=0,
        created_at=now,
    )
    result = await send(webhook, secret, event, guard, clock, within=_TEST_TIMEOUT)
    return result if result.status == "delivered" else replace(result, status="given_up")


class WebhookSender:
    """Delivers what is due from `start` to `aclose`.

    Any number of processes may have one; one of them delivers at a time. Deliveries to one webhook
    are sent one after the other, so that a receiver that hangs delays no other. While the database
    is away, the sender waits.
    """

    def __init__(
        self,
        database: Database,
        webhooks: Webhooks,
        clock: Clock | None = None,
        rng: Rng | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._rng = rng or SystemRng()
        self._outbox = Outbox(database)
        self._webhooks = webhooks
        self._lease = Lease(database, "webhooks", self._clock, _LEASE_FOR)
        self._sending: dict[asyncio.Task[None], str] = {}
        self._broken: set[str] = set()
        """Ids of webhooks at which a bug was met; they are left out until the next start."""
        self._prune_at = 0.0
        outage = OutageLog(
            "nothing is sent to webhooks until the database answers again",
            "webhooks are sent to again",
        )
        self._task = PeriodicTask(
            self.step, self._clock, _POLL_EVERY, name="webhook delivery", outage=outage
        )

    def start(self) -> None:
        """Starts the task that delivers."""
        self._task.start()

    async def aclose(self) -> None:
        """Cancels the deliveries under way, which are sent again later, and waits for their end."""
        await self._task.aclose()
        for task in [*self._sending]:
            task.cancel()
        await self.wait_for_deliveries()
        await self._lease.release()

    async def step(self) -> None:
        """Starts the deliveries that are due, if this process leads. Raises StoreError."""
        if not await self._lease.acquire():
            return
        free = _MAX_SENDING - len(self._sending)
        if free:
            busy = [*self._sending.values(), *self._broken]
            for delivery in await self._outbox.due(_time(self._clock), free, busy):
                task = asyncio.create_task(self._deliver(delivery), name="webhook")
                self._sending[task] = delivery.webhook_id
                task.add_done_callback(self._finish)
        if self._prune_at <= self._clock.now():
            self._prune_at = self._clock.now() + _PRUNE_EVERY
            await self._outbox.prune(_time(self._clock) - _KEEP_FOR)

    async def wait_for_deliveries(self) -> None:
        """Returns when every delivery that has begun is done."""
        while self._sending:
            await asyncio.wait([*self._sending])

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            webhook, secret = await self._webhooks.get_with_secret(SYSTEM, delivery.webhook_id)
            result = await send(webhook, secret, delivery, _ANY_ADDRESS, self._clock)
        except NotFoundError:
            return  # removed in between, and its deliveries with it
        except SealError as error:
            result = replace(delivery, attempts=delivery.attempts + 1, last_error=str(error))
        if result.status == "waiting":
            result = self._retry_later(result)
        await self._outbox.save_result(result)
        if result.last_status == _GONE:
            with suppress(NotFoundError):
                await self._webhooks.deactivate(delivery.webhook_id)

    def _retry_later(self, result: Delivery) -> Delivery:
        delay = retry_delay(result.attempts, self._rng.random())
        if delay is None or result.last_status == _GONE:
            _logger.warning(
                "webhook %s: gave up on %s after %d tries: %s",
                result.webhook_id, result.event, result.attempts, result.last_error,
            )  # fmt: skip
            return replace(result, status="given_up")
        return replace(result, next_at=_time(self._clock) + timedelta(seconds=delay))

    def _finish(self, task: asyncio.Task[None]) -> None:
        webhook_id = self._sending.pop(task)
        if task.cancelled():
            return
        match task.exception():
            case StoreError() as error:
                _logger.warning(
                    "the result of a webhook delivery is not stored, so it is sent again: %s", error
                )
            case Exception() as error:
                _logger.error("a bug in the delivery to webhook %s", webhook_id, exc_info=error)
                self._broken.add(webhook_id)


def _refusal(answer: httpx2.Response) -> str:
    if answer.is_redirect:
        return f"HTTP {answer.status_code}: redirects are not followed; give the final address"
    return f"HTTP {answer.status_code}"


def _time(clock: Clock) -> datetime:
    return utc_now(clock)
