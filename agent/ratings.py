"""Serves `POST /api/visitor/rating`: a visitor says how their call was."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from agent.visitor_gate import Gate, Visitor
from agent.visits import MAX_LENGTH, Visit
from llm_router.clock import SystemClock
from llm_router.errors import NotFoundError
from llm_router.gateway.errors import Problem
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.base import StrictModel
from llm_router.store.ratings import MAX_COMMENT, Ratings


class RatingCreate(StrictModel):
    """A rating of a call, or of a conversation in writing."""

    continuation: str = Field(
        max_length=MAX_LENGTH,
        description="That of the call, from its token; or the `token` of the conversation.",
    )
    stars: int = Field(ge=1, le=5, strict=True)
    comment: str = Field(default="", max_length=MAX_COMMENT)


VisitOf = Callable[[str, float], Visit | None]
"""Returns whose a proof is by a time (s since 1970), or None if it is none of ours."""


def ratings_router(gate: Gate, ratings: Ratings, visit_of: VisitOf) -> APIRouter:
    """Makes the route."""
    router, clock = APIRouter(), SystemClock()

    @router.post(
        "/api/visitor/rating",
        status_code=204,
        tags=["calls"],
        operation_id="rateCall",
        responses=problems(403, 404, 422, 429, 503),
    )
    async def rate(_: Annotated[Visitor, Depends(gate)], body: RatingCreate) -> None:
        """Rates a call: one to five stars, and a comment.

        It is in the call's `metadata`, and is deleted with the call. A later one replaces it.
        """
        visit = visit_of(body.continuation, clock.wall())
        if visit is None:
            raise Problem(
                403,
                "unknown-continuation",
                "Send the continuation that came with the call's token, or the token of the"
                " conversation in writing.",
            )
        try:
            await ratings.rate(visit.room, body.stars, body.comment)
        except NotFoundError:
            raise Problem(
                404,
                "call-not-stored",
                "The call is not stored, so it cannot be rated. Send a rating while the call is"
                " stored (CALL_DAYS, CALL_RETENTION).",
            ) from None

    return router
