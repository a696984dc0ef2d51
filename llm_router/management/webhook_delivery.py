"""Delivers what the outbox holds to its webhooks: at least once, or until it is given up."""

import asyncio
import functools
import logging
import ssl
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx2

from llm_router.clock import Clock, Rng, SystemClock, SystemRng
from llm_router.connections.access import SYSTEM
from llm_router.connections.webhooks import TEST_EVENT, make_payload, retry_delay, sign
from llm_router.errors import AddressRefusedError, NotFoundError, SealError, StoreError
from llm_router.net.guard import AddressGuard, guarded_transport
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.database import Database
from llm_router.store.leases import Lease
from llm_router.store.outbox import Delivery, Outbox
from llm_router.store.webhooks import Webhook, Webhooks

_logger = logging.getLogger("llm_router")

_EVERY = 1.0
"""Seconds between two looks."""
_LEASE_FOR = 30.0
_PATIENCE = 10.0
"""Seconds that a receiver may take: it should keep the message and do its work later."""
_AT_ONCE = 8
_KEPT_FOR = timedelta(days=30)
_PRUNED_EVERY = 600.0
_GONE = 410
_OF_ADMINS = AddressGuard(allow_private=True)
"""Only admins make webhooks, and they may name any address."""


async def attempt(
    hook: Webhook, secret: str, delivery: Delivery, guard: AddressGuard, clock: Clock
) -> Delivery:
    """Sent once, and what came of it: delivered, or still waiting with the error."""
    body, headers = sign(delivery.payload, secret, clock.wall())
    status, error = None, ""
    tls = await asyncio.to_thread(_tls)
    # One client for each: a webhook is told of something a few times a day.
    async with httpx2.AsyncClient(
        transport=guarded_transport(guard, verify=tls), timeout=_PATIENCE, follow_redirects=False
    ) as client:
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                client.stream("POST", hook.url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
                if not answer.is_success:
                    error = _refusal(answer)
        except TimeoutError:
            error = f"no answer within {_PATIENCE:g} s"
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


async def try_out(hook: Webhook, secret: str, guard: AddressGuard, clock: Clock) -> Delivery:
    """An event of no meaning, sent once, for somebody who wants to see whether it arrives."""
    now = _time(clock)
    said = make_payload(TEST_EVENT, now, {"webhook_id": hook.id, "name": hook.name})
    trial = Delivery(
        id=0,
        webhook_id=hook.id,
        event=TEST_EVENT,
        payload=said,
        status="waiting",
        attempts=0,
        created_at=now,
    )
    tried = await attempt(hook, secret, trial, guard, clock)
    return tried if tried.status == "delivered" else replace(tried, status="given_up")


class Courier:
    """Runs from `start` to `aclose`, in any number of processes, of which one delivers at a time.

    Deliveries to one webhook go one after the other, so that a receiver that hangs holds up no
    other. A database that is away is waited for.
    """

    def __init__(
        self,
        database: Database,
        webhooks: Webhooks,
        clock: Clock | None = None,
        rng: Rng | None = None,
    ) -> None:
        self._clock, self._rng = clock or SystemClock(), rng or SystemRng()
        self._outbox, self._webhooks = Outbox(database), webhooks
        self._lease = Lease(database, "webhooks", self._clock, _LEASE_FOR)
        self._sending: dict[asyncio.Task[None], str] = {}
        self._spoiled: set[str] = set()
        """Where a bug was met, which would be met again with every look, until the next start."""
        self._prune_at = 0.0
        outage = OutageLog(
            "nothing is sent to webhooks until the database answers again",
            "webhooks are sent to again",
        )
        self._task = PeriodicTask(self.step, self._clock, _EVERY, outage, name="webhook delivery")

    def start(self) -> None:
        self._task.start()

    async def aclose(self) -> None:
        """Ends the steps, cancels the deliveries that are running and gives the lease back."""
        await self._task.aclose()
        for task in [*self._sending]:
            task.cancel()
        if self._sending:
            await asyncio.wait([*self._sending])
        await self._lease.release()

    async def step(self) -> None:
        """Begin with what is due, if it is for this process to do. Raises StoreError."""
        if not await self._lease.acquire():
            return
        free = _AT_ONCE - len(self._sending)
        if free:
            busy = [*self._sending.values(), *self._spoiled]
            for delivery in await self._outbox.due(_time(self._clock), free, busy):
                task = asyncio.create_task(self._deliver(delivery), name="webhook")
                self._sending[task] = delivery.webhook_id
                task.add_done_callback(self._sent)
        if self._prune_at <= self._clock.now():
            self._prune_at = self._clock.now() + _PRUNED_EVERY
            await self._outbox.prune(_time(self._clock) - _KEPT_FOR)

    async def settled(self) -> None:
        """Until every delivery that has begun is done."""
        while self._sending:
            await asyncio.wait([*self._sending])

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            hook, secret = await self._webhooks.get_with_secret(SYSTEM, delivery.webhook_id)
            tried = await attempt(hook, secret, delivery, _OF_ADMINS, self._clock)
        except NotFoundError:
            return  # removed in between, and its deliveries with it
        except SealError as error:
            tried = replace(delivery, attempts=delivery.attempts + 1, last_error=str(error))
        if tried.status == "waiting":
            tried = self._put_off(tried)
        await self._outbox.save_result(tried)
        if tried.last_status == _GONE:
            with suppress(NotFoundError):
                await self._webhooks.deactivate(delivery.webhook_id)

    def _put_off(self, tried: Delivery) -> Delivery:
        later = retry_delay(tried.attempts, self._rng.random())
        if later is None or tried.last_status == _GONE:
            _logger.warning(
                "webhook %s: gave up on %s after %d tries: %s",
                tried.webhook_id, tried.event, tried.attempts, tried.last_error,
            )  # fmt: skip
            return replace(tried, status="given_up")
        return replace(tried, next_at=_time(self._clock) + timedelta(seconds=later))

    def _sent(self, task: asyncio.Task[None]) -> None:
        webhook_id = self._sending.pop(task)
        if task.cancelled():
            return
        match task.exception():
            case StoreError() as error:
                _logger.warning("what came of a webhook is not kept, it is sent again: %s", error)
            case Exception() as error:
                _logger.error("a bug in telling webhook %s", webhook_id, exc_info=error)
                self._spoiled.add(webhook_id)


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all: reading the system's certificates takes tens of milliseconds."""
    return httpx2.create_ssl_context()


def _refusal(answer: httpx2.Response) -> str:
    if answer.is_redirect:
        return f"HTTP {answer.status_code}: redirects are not followed; give the final address"
    return f"HTTP {answer.status_code}"


def _time(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.wall(), UTC)
