"""Passes requests on over the router of the process."""

from collections.abc import Awaitable, Callable, Sequence

from fastapi import Request

from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.connections.record import Serves
from llm_router.gateway.completions.models import choose, usable_by
from llm_router.gateway.deps import Services
from llm_router.gateway.forwarded.bodies import ForwardCall
from llm_router.gateway.forwarded.response import ForwardedResponse
from llm_router.gateway.middleware import most_bytes
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.forwarding import Forwarding, ForwardRequest
from llm_router.store.api_keys import ApiKey

_ROUTES: dict[Serves, tuple[str, float]] = {
    "embeddings": ("/embeddings", 15.0),
    "speech": ("/audio/speech", 15.0),
    "transcriptions": ("/audio/transcriptions", 60.0),  # of a long recording, all at once
}
"""The route of each, and the seconds of silence after which another connection is asked."""


async def forward(
    request: Request,
    actor: Actor,
    key: ApiKey,
    deps: Services,
    *,
    serves: Serves,
    read: Callable[[Request], Awaitable[ForwardCall]],
) -> ForwardedResponse:
    """Returns the answer of a connection that serves such requests, to what `read` makes of this.

    Raises ForbiddenError (a role that may use no connection). The response raises Problem: 400 for
    the body, 404 for the model, 429 where too many are in progress.
    """
    rules.require(actor, "use")

    async def opening() -> Forwarding:
        call = await read(request)
        router = await deps.chat_router.get()
        choice = choose(call.model, usable_by(actor, router.pool.endpoints, kind=serves))
        endpoints = of_one_model(choice.endpoints) if serves == "embeddings" else choice.endpoints
        route, silence = _ROUTES[serves]
        asked = ForwardRequest(
            route=route,
            body_for=call.body_for,
            characters=call.characters,
            silence=silence,
            integration=actor.integration,
            api_key_id=actor.key_id,
        )
        return router.forward(asked, endpoints)

    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else most_bytes(request.url.path)
    return ForwardedResponse(opening, deps.reply_places.taken(key.id, size))


def of_one_model(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Returns the endpoints with the model of the first: vectors of two models do not compare."""
    first = min(endpoints, key=lambda one: one.connection.priority).connection.model_name
    return [one for one in endpoints if one.connection.model_name == first]
