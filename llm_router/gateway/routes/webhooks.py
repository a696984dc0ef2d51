"""Routes with which an admin manages webhooks, which report events of connections."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.base import PageQuery
from llm_router.gateway.schemas.webhooks import (
    WebhookCreate,
    WebhookCreateResult,
    WebhookDeliveryPage,
    WebhookDeliveryRead,
    WebhookPage,
    WebhookRead,
    WebhookUpdate,
)
from llm_router.store.outbox import Delivery
from llm_router.store.webhooks import Webhook

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

WebhookId = Annotated[
    str, Path(pattern=r"^[0-9a-f-]{36}$", examples=["0b6f2a52-1f0e-4b7e-9a55-5f1b1f0c9d3e"])
]


@router.get("", response_model=WebhookPage, operation_id="listWebhooks")
async def list_webhooks(
    actor: CurrentActor, deps: Deps, params: Annotated[PageQuery, Query()]
) -> dict[str, Any]:
    """Lists all webhooks, the latest first."""
    items, total = await deps.webhooks.find(actor, limit=params.limit, offset=params.offset)
    return {"items": items, "total": total, "limit": params.limit, "offset": params.offset}


@router.post("", status_code=201, operation_id="createWebhook")
async def create(
    actor: CurrentActor, deps: Deps, body: WebhookCreate, response: Response
) -> WebhookCreateResult:
    """Creates a webhook. The answer shows its secret, this once."""
    webhook, secret = await deps.webhook_editor.create(
        actor, body.name, body.url, body.events, owner=body.owner, team=body.team
    )
    response.headers["Location"] = f"/api/webhooks/{webhook.id}"
    return WebhookCreateResult(**asdict(webhook), secret=secret)


@router.get(
    "/{webhook_id}",
    response_model=WebhookRead,
    operation_id="getWebhook",
    responses=problems(404),
)
async def get(actor: CurrentActor, deps: Deps, webhook_id: WebhookId) -> Webhook:
    """Returns one webhook."""
    return await deps.webhooks.get(actor, webhook_id)


@router.patch(
    "/{webhook_id}",
    response_model=WebhookRead,
    operation_id="updateWebhook",
    responses=problems(404, 409),
)
async def update(
    actor: CurrentActor, deps: Deps, webhook_id: WebhookId, body: WebhookUpdate
) -> Webhook:
    """Changes the fields named, and leaves the rest.

    The secret stays; for another one, create another webhook. A webhook that is not active gets no
    events; those that wait for it are sent once it is active again.
    """
    return await deps.webhook_editor.update(actor, webhook_id, body.values(), version=body.version)


@router.delete(
    "/{webhook_id}", status_code=204, operation_id="deleteWebhook", responses=problems(404)
)
async def delete(actor: CurrentActor, deps: Deps, webhook_id: WebhookId) -> None:
    """Deletes a webhook, its secret and the log of its deliveries; those that wait are not sent."""
    await deps.webhooks.remove(actor, webhook_id)


@router.post(
    "/{webhook_id}/test",
    response_model=WebhookDeliveryRead,
    operation_id="testWebhook",
    responses=problems(404),
)
async def test(actor: CurrentActor, deps: Deps, webhook_id: WebhookId) -> Delivery:
    """Sends a `webhook.test` event now, once, and returns what the receiver answered.

    A receiver that fails is no error of this request: `status` is `given_up` then, and `last_error`
    says why.
    """
    return await deps.webhook_editor.test(actor, webhook_id)


@router.get(
    "/{webhook_id}/deliveries",
    response_model=WebhookDeliveryPage,
    operation_id="listWebhookDeliveries",
    responses=problems(404),
)
async def list_deliveries(
    actor: CurrentActor,
    deps: Deps,
    webhook_id: WebhookId,
    params: Annotated[PageQuery, Query()],
) -> dict[str, Any]:
    """Lists the deliveries of the last 30 days with their results, the latest first."""
    items, total = await deps.webhooks.deliveries(
        actor, webhook_id, limit=params.limit, offset=params.offset
    )
    return {"items": items, "total": total, "limit": params.limit, "offset": params.offset}
