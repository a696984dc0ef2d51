"""Creates, changes and tests webhooks for an admin, after vetting their address."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_router.clock import Clock
from llm_router.connections.access import Actor
from llm_router.connections.webhooks import Event
from llm_router.management.vetting import AddressRules
from llm_router.management.webhook_delivery import send_test
from llm_router.store.outbox import Delivery
from llm_router.store.webhooks import Webhook, Webhooks


class WebhookEditor:
    """Creates, changes and tests webhooks.

    Every method raises what `Webhooks` raises, and AddressRefusedError.
    """

    def __init__(self, webhooks: Webhooks, addresses: AddressRules, clock: Clock) -> None:
        self._webhooks = webhooks
        self._addresses = addresses
        self._clock = clock

    async def create(
        self,
        actor: Actor,
        name: str,
        url: str,
        events: Sequence[Event],
        *,
        owner: str = "",
        team: str = "",
    ) -> tuple[Webhook, str]:
        """Stores a webhook, and returns it with its secret, which is shown this once."""
        self._webhooks.require(actor)
        await self._addresses.for_actor(actor).check(url)
        return await self._webhooks.add(actor, name, url, events, owner=owner, team=team)

    async def update(
        self,
        actor: Actor,
        webhook_id: str,
        changes: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> Webhook:
        """Changes the fields named. With `version`, raises StaleError if it is not the latest."""
        self._webhooks.require(actor)
        if url := changes.get("url"):
            await self._addresses.for_actor(actor).check(url)
        return await self._webhooks.change(actor, webhook_id, changes, version=version)

    async def test(self, actor: Actor, webhook_id: str) -> Delivery:
        """Sends one test event now, and records what the receiver answered."""
        webhook, secret = await self._webhooks.get_with_secret(actor, webhook_id)
        guard = self._addresses.for_actor(actor)
        return await self._webhooks.add_delivery(
            actor, await send_test(webhook, secret, guard, self._clock)
        )
