"""Routes with which a browser signs in and out, and any client reads what it may do."""

from typing import Annotated, get_args

from fastapi import APIRouter, Request, Response, Security

from llm_router.connections.access import Action, may_act, may_serve_calls
from llm_router.gateway.deps import (
    COOKIE,
    CurrentActor,
    CurrentKey,
    Deps,
    find_key,
    require_own_origin,
    session_cookie,
)
from llm_router.gateway.openapi import problems
from llm_router.gateway.rates import client_key, client_of
from llm_router.gateway.schemas.session import MeRead, SessionCreate
from llm_router.store.api_keys import ApiKey

router = APIRouter(tags=["session"])

_PATH = "/api"


@router.post("/session", status_code=201, operation_id="signIn", responses=problems(401, 403, 429))
async def sign_in(request: Request, deps: Deps, body: SessionCreate, response: Response) -> MeRead:
    """Exchanges an API key for a cookie that is valid for twelve hours, or as long as the key."""
    if "origin" in request.headers:
        require_own_origin(request)
    # Counted before the database is asked, so that guessing costs it nothing.
    await deps.sign_in_limit.hit(client_key(client_of(request)))
    await deps.all_sign_ins_limit.hit("all")
    key = await find_key(deps, body.api_key.get_secret_value().strip(), client_of(request))
    cookie, until = await deps.sign_ins.begin(key, client_of(request))
    response.set_cookie(
        COOKIE,
        cookie,
        expires=until,
        path=_PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return _me(key)


@router.delete("/session", status_code=204, operation_id="signOut")
async def sign_out(
    actor: CurrentActor,
    deps: Deps,
    response: Response,
    cookie: Annotated[str | None, Security(session_cookie)],
) -> None:
    """Ends the session; its cookie is no longer valid, even where a copy of it is stored."""
    if cookie:
        await deps.sign_ins.end(cookie, actor)
    response.delete_cookie(COOKIE, path=_PATH, httponly=True, samesite="strict")


@router.get("/me", operation_id="getMe")
async def get_me(key: CurrentKey) -> MeRead:
    """Returns the API key of the request or session, and what it may do."""
    return _me(key)


def _me(key: ApiKey) -> MeRead:
    actor = key.actor("")
    return MeRead(
        name=key.name,
        role=key.role,
        owner=key.owner,
        team=key.team,
        may=[action for action in get_args(Action) if may_act(actor, action)],
        may_serve_calls=may_serve_calls(actor),
        routes=key.routes,
        pools=key.pools,
        integration=key.integration,
        expires_at=key.expires_at,
    )
