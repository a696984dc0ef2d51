"""Webhooks: who is told what happens to connections. For admins."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from llm_router.gateway.deps import Asking, Served
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import PageWanted
from llm_router.gateway.schemas.health import (
    DeliveryPage,
    DeliveryShown,
    NewWebhook,
    WebhookChanges,
    WebhookMade,
    WebhookPage,
    WebhookShown,
)
from llm_router.management import webhook_delivery as courier
from llm_router.store.outbox import Delivery
from llm_router.store.webhooks import Webhook

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

WebhookId = Annotated[
    str, Path(pattern=r"^[0-9a-f-]{36}$", examples=["0b6f2a52-1f0e-4b7e-9a55-5f1b1f0c9d3e"])
]


@router.get("", response_model=WebhookPage, operation_id="listWebhooks")
async def find(
    asking: Asking, served: Served, wanted: Annotated[PageWanted, Query()]
) -> dict[str, Any]:
    """All webhooks, the latest first."""
    items, total = await served.webhooks.find(asking, limit=wanted.limit, offset=wanted.offset)
    return {"items": items, "total": total, "limit": wanted.limit, "offset": wanted.offset}


@router.post("", status_code=201, operation_id="addWebhook")
async def add(
    asking: Asking, served: Served, wanted: NewWebhook, response: Response
) -> WebhookMade:
    """Add one. The answer shows its secret, this once."""
    served.webhooks.require(asking)
    await served.guard(asking).check(wanted.url)
    hook, secret = await served.webhooks.add(
        asking, wanted.name, wanted.url, wanted.events, owner=wanted.owner, team=wanted.team
    )
    response.headers["Location"] = f"/api/webhooks/{hook.id}"
    return WebhookMade(**asdict(hook), secret=secret)


@router.get(
    "/{webhook_id}",
    response_model=WebhookShown,
    operation_id="getWebhook",
    responses=problems(404),
)
async def get(asking: Asking, served: Served, webhook_id: WebhookId) -> Webhook:
    """One of them."""
    return await served.webhooks.get(asking, webhook_id)


@router.patch(
    "/{webhook_id}",
    response_model=WebhookShown,
    operation_id="changeWebhook",
    responses=problems(404, 409),
)
async def change(
    asking: Asking, served: Served, webhook_id: WebhookId, wanted: WebhookChanges
) -> Webhook:
    """Put new values in the fields named, and leave the rest. The secret stays; for another, make
    another webhook.

    One that is switched off is told nothing; what waits for it is sent when it is on again.
    """
    served.webhooks.require(asking)
    if wanted.url:
        await served.guard(asking).check(wanted.url)
    return await served.webhooks.change(asking, webhook_id, wanted.given(), version=wanted.version)


@router.delete(
    "/{webhook_id}", status_code=204, operation_id="removeWebhook", responses=problems(404)
)
async def remove(asking: Asking, served: Served, webhook_id: WebhookId) -> None:
    """Remove it, its secret and the log of its deliveries. What waits is not sent."""
    await served.webhooks.remove(asking, webhook_id)


@router.post(
    "/{webhook_id}/test",
    response_model=DeliveryShown,
    operation_id="testWebhook",
    responses=problems(404),
)
async def try_out(asking: Asking, served: Served, webhook_id: WebhookId) -> Delivery:
    """Send it a `webhook.test` event now, once, and see what it answers.

    A receiver that fails is no error of this request: `status` is `given_up` then, and `last_error`
    says why.
    """
    hook, secret = await served.webhooks.get_with_secret(asking, webhook_id)
    tried = await courier.try_out(hook, secret, served.guard(asking), served.clock)
    return await served.webhooks.add_delivery(asking, tried)


@router.get(
    "/{webhook_id}/deliveries",
    response_model=DeliveryPage,
    operation_id="listDeliveries",
    responses=problems(404),
)
async def deliveries(
    asking: Asking, served: Served, webhook_id: WebhookId, wanted: Annotated[PageWanted, Query()]
) -> dict[str, Any]:
    """What it was told, is to be told, and could not be told; for 30 days, the latest first."""
    items, total = await served.webhooks.deliveries(
        asking, webhook_id, limit=wanted.limit, offset=wanted.offset
    )
    return {"items": items, "total": total, "limit": wanted.limit, "offset": wanted.offset}
