"""Who asks: signing in and out with a browser, and what one may do."""

from typing import Annotated, get_args

from fastapi import APIRouter, Request, Response, Security

from llm_router.connections.access import Action, may_act
from llm_router.gateway.deps import (
    COOKIE,
    Asking,
    Key,
    Served,
    refuse_other_sites,
    session_cookie,
    unknown,
)
from llm_router.gateway.openapi import problems
from llm_router.gateway.rates import client_of
from llm_router.gateway.schemas.access import Me, SignIn
from llm_router.store.api_keys import ApiKey

router = APIRouter(tags=["session"])

_PATH = "/api"


@router.post("/session", status_code=201, operation_id="signIn", responses=problems(401, 403, 429))
async def sign_in(request: Request, served: Served, wanted: SignIn, response: Response) -> Me:
    """Exchange an API key for a cookie that counts for twelve hours, or until the key does not."""
    if "origin" in request.headers:
        refuse_other_sites(request)
    key = await served.keys.authenticate(wanted.api_key.get_secret_value().strip())
    if key is None:
        raise await unknown(request, served)
    cookie, until = await served.keys.sign_in(key, client_of(request))
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
    asking: Asking,
    served: Served,
    response: Response,
    cookie: Annotated[str | None, Security(session_cookie)],
) -> None:
    """End the session; its cookie counts no more, wherever it is kept."""
    if cookie:
        await served.keys.sign_out(cookie, asking)
    response.delete_cookie(COOKIE, path=_PATH, httponly=True, samesite="strict")


@router.get("/me", operation_id="whoAmI")
async def me(key: Key) -> Me:
    """Whose key or session this is, and what it may do."""
    return _me(key)


def _me(key: ApiKey) -> Me:
    actor = key.actor("")
    return Me(
        name=key.name,
        role=key.role,
        owner=key.owner,
        team=key.team,
        may=[action for action in get_args(Action) if may_act(actor, action)],
        expires_at=key.expires_at,
    )
