"""Routes for calls out: plan them, see how they went, cancel them. For operators.

A plan is stored; of the HTTP processes, one at a time dials what is due.
"""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path, Query

from llm_router.clock import utc_now
from llm_router.connections.access import Actor
from llm_router.gateway.deps import CurrentActor, Deps, Services
from llm_router.gateway.errors import invalid_request
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.planned_calls import (
    CallPlans,
    PlannedCallList,
    PlannedCallPage,
    PlannedCallQuery,
    PlannedCallRead,
)
from llm_router.management.assistant_names import unknown_assistants
from llm_router.store.planned_calls import require_planner
from llm_router.voice.phone.plan import TOO_EARLY, CallPlan, is_too_early

router = APIRouter(prefix="/calls", tags=["calls"])

PlannedId = Annotated[
    str,
    Path(
        description="Of the planned call.",
        pattern=r"^[0-9a-f-]{36}$",
        examples=["5c1fa0e2-6f7d-4b53-9a35-1f0c2c9d8e77"],
    ),
]


@router.post("", status_code=202, operation_id="placeCall", responses=problems(409))
async def place(actor: CurrentActor, deps: Deps, plan: CallPlan) -> PlannedCallRead:
    """Plans a call to a number: at once, or at the earliest time that is given."""
    await _check(actor, deps, {(): plan})
    (call,) = await deps.planned_calls.plan(actor, [plan])
    return PlannedCallRead.of(call)


@router.post("/planned", status_code=202, operation_id="planCalls", responses=problems(409))
async def plan_all(actor: CurrentActor, deps: Deps, plans: CallPlans) -> PlannedCallList:
    """Plans several calls: all of them, or none."""
    await _check(actor, deps, {("calls", n): plan for n, plan in enumerate(plans.calls)})
    calls = await deps.planned_calls.plan(actor, plans.calls)
    return PlannedCallList(items=[PlannedCallRead.of(call) for call in calls])


@router.get("/planned", operation_id="listPlannedCalls")
async def list_planned(
    actor: CurrentActor, deps: Deps, query: Annotated[PlannedCallQuery, Query()]
) -> PlannedCallPage:
    """Lists planned calls, the latest first."""
    limit, offset = query.limit, query.offset
    found, total = await deps.planned_calls.find(
        actor, status=query.status, limit=limit, offset=offset
    )
    items = [PlannedCallRead.of(call) for call in found]
    return PlannedCallPage(items=items, total=total, limit=limit, offset=offset)


@router.get("/planned/{planned_id}", operation_id="getPlannedCall", responses=problems(404))
async def get_planned(actor: CurrentActor, deps: Deps, planned_id: PlannedId) -> PlannedCallRead:
    """Returns a planned call: how far it is, and how it went."""
    return PlannedCallRead.of(await deps.planned_calls.get(actor, planned_id))


@router.delete(
    "/planned/{planned_id}", operation_id="cancelPlannedCall", responses=problems(404, 409)
)
async def cancel(actor: CurrentActor, deps: Deps, planned_id: PlannedId) -> PlannedCallRead:
    """Cancels a planned call that waits. One that is under way cannot be cancelled."""
    return PlannedCallRead.of(await deps.planned_calls.cancel(actor, planned_id))


_Plans = Mapping[tuple[str | int, ...], CallPlan]
"""Plans by their places in the body."""


async def _check(actor: Actor, deps: Services, plans: _Plans) -> None:
    """Refuses plans that cannot be stored, and names their places."""
    require_planner(actor)  # else the refusal says which assistants there are
    now = utc_now(deps.clock)
    if early := [place for place, plan in plans.items() if is_too_early(plan, now)]:
        raise invalid_request(
            [
                {"type": "too_early", "loc": ("body", *place, "earliest"), "msg": TOO_EARLY}
                for place in early
            ]
        )
    await _require_assistants(actor, deps, plans)


async def _require_assistants(actor: Actor, deps: Services, plans: _Plans) -> None:
    """Refuses names of no assistant: the default one would speak in its place.

    A plan that is sent again is planned already.
    """
    unknown = await unknown_assistants(
        (plan.assistant for plan in plans.values()), deps.assistants, deps.assistants_in_file
    )
    if unknown:
        before = await deps.planned_calls.known_keys(
            actor, {plan.idempotency_key for plan in plans.values()} - {""}
        )
        wanted = {
            place: plan.assistant
            for place, plan in plans.items()
            if plan.assistant in unknown and plan.idempotency_key not in before
        }
        if not wanted:
            return
        raise invalid_request(
            [
                {
                    "type": "unknown_assistant",
                    "loc": ("body", *place, "assistant"),
                    "msg": f"there is no assistant {name!r}, neither stored nor in ASSISTANTS_FILE;"
                    " `llm-router assistants list` names those that there are",
                }
                for place, name in wanted.items()
            ]
        )
