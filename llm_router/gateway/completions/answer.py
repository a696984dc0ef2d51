"""Answers a call over the router of the process, for the routes of every form of the API."""

from collections.abc import Callable
from dataclasses import replace

from fastapi import Request

from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.connections.record import Serves
from llm_router.gateway.completions.call import Call
from llm_router.gateway.completions.models import choose, listed, narrowed, of_provider, usable_by
from llm_router.gateway.completions.response import ReplyResponse
from llm_router.gateway.deps import Services
from llm_router.gateway.schemas.chat import ModelRead
from llm_router.store.api_keys import ApiKey


async def answer(
    request: Request,
    actor: Actor,
    key: ApiKey,
    deps: Services,
    read: Callable[[bytes, str], Call],
) -> ReplyResponse:
    """Returns the reply to the request, which `read` makes of its body and the id of the key.

    Only connections that the key may use and that are flagged for its integration are asked. Raises
    ForbiddenError (a role that may use none) and Problem: 400 for the body, 404 for the model.
    """
    rules.require(actor, "use")
    body = await request.body()
    call = read(body, key.id)
    router = await deps.chat_router.get()
    usable = of_provider(call.provider, usable_by(actor, router.pool.endpoints))
    choice = choose(call.model, usable)
    asked = narrowed(call.request, choice, actor, router.options.total)
    return ReplyResponse(
        replace(call, request=asked),
        router,
        places=deps.reply_places,
        key_id=key.id,
        size=len(body),
        clock=deps.clock,
    )


async def list_models(
    actor: Actor, deps: Services, kind: Serves | None = "chat"
) -> list[ModelRead]:
    """Returns the names that may be given as `model` for requests of a `kind`; None: of any.

    Raises ForbiddenError.
    """
    rules.require(actor, "use")
    router = await deps.chat_router.get()
    return listed(usable_by(actor, router.pool.endpoints, kind=kind))
