"""Calls the busiest endpoints with what they need, without FastAPI's search for it.

FastAPI works out anew for each request what an endpoint depends on, and what that depends on: a
third of the application's work for a streamed reply. What these endpoints need is always the same.
"""

from collections.abc import Callable, Coroutine
from inspect import signature
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from llm_router.gateway.deps import (
    Services,
    authenticate,
    bearer_scheme,
    key_header_scheme,
    session_cookie,
)
from llm_router.gateway.rates import client_of
from llm_router.store.api_keys import ApiKey

_NEEDS = {"request", "actor", "key", "deps"}


class DirectRoute(APIRoute):
    """A route whose endpoint, if it takes `request`, `actor`, `key` and `deps` alone, is called
    directly and returns a response. Any other endpoint is called as FastAPI does.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        if set(signature(self.endpoint).parameters) != _NEEDS:
            return super().get_route_handler()
        return self._call

    async def _call(self, request: Request) -> Response:
        deps: Services = request.app.state.services
        key = await _key_of(request, deps)
        actor = key.actor(origin=client_of(request))
        response: Response = await self.endpoint(request=request, actor=actor, key=key, deps=deps)
        return response


async def _key_of(request: Request, deps: Services) -> ApiKey:
    """Returns the API key of the request, as `authenticate` or what stands in for it does."""
    if stand_in := request.app.dependency_overrides.get(authenticate):
        key: ApiKey = stand_in()
        return key
    return await authenticate(
        request,
        deps,
        await bearer_scheme(request),
        await key_header_scheme(request),
        await session_cookie(request),
    )
