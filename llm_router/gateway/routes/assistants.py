"""Routes that list, create, update and delete assistants, and restore their versions."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from llm_router.errors import ConfigurationError, NotFoundError
from llm_router.gateway.deps import CurrentActor, Deps, Services
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.assistants import (
    MAX_VERSION,
    AssistantCreate,
    AssistantDifferences,
    AssistantPage,
    AssistantRead,
    AssistantRollback,
    AssistantUpdate,
    FieldDifference,
)
from llm_router.gateway.schemas.base import PageQuery
from llm_router.store.assistants import StoredAssistant
from llm_router.voice.assistant import NAME_PATTERN, AssistantRecord
from llm_router.voice.rules import require_editor

_logger = logging.getLogger(__name__)
router = APIRouter(prefix="/assistants", tags=["assistants"])

AssistantName = Annotated[
    str,
    Path(
        description="Of the assistant.",
        pattern=NAME_PATTERN,
        max_length=64,
        examples=["shop"],
    ),
]
Version = Annotated[int, Path(ge=1, le=MAX_VERSION)]
KnownVersion = Annotated[
    int | None,
    Query(ge=1, le=MAX_VERSION, description="The present one as you know it; 409 if it is not."),
]


@router.get("", response_model=AssistantPage, operation_id="listAssistants")
async def list_assistants(
    actor: CurrentActor, deps: Deps, params: Annotated[PageQuery, Query()]
) -> dict[str, Any]:
    """Lists the stored assistants that the key may see, by name, then those of the file."""
    found, stored = await deps.assistants.find(actor, limit=params.limit, offset=params.offset)
    in_file = await _in_file(deps)
    begin = max(0, params.offset - stored)
    rest = in_file[begin : begin + params.limit - len(found)]
    page = _page(found, stored + len(in_file), params)
    return {**page, "items": [*page["items"], *map(AssistantRead.in_file, rest)]}


@router.post("", status_code=201, operation_id="createAssistant", responses=problems(409))
async def create(
    actor: CurrentActor, deps: Deps, body: AssistantCreate, response: Response
) -> AssistantRead:
    """Creates an assistant. The one named `default` answers the calls that name none."""
    made = await deps.assistants.add(actor, body.record(), body.ownership)
    response.headers["Location"] = f"/api/assistants/{made.record.name}"
    return AssistantRead.of(made)


@router.get("/{assistant_name}", operation_id="getAssistant", responses=problems(404))
async def get(actor: CurrentActor, deps: Deps, assistant_name: AssistantName) -> AssistantRead:
    """Returns an assistant as it is now: the stored one, else that of the file."""
    try:
        return AssistantRead.of(await deps.assistants.get(actor, assistant_name))
    except NotFoundError:
        for record in await _in_file(deps):
            if record.name == assistant_name:
                return AssistantRead.in_file(record)
        raise


@router.post(
    "/{assistant_name}/copy",
    status_code=201,
    operation_id="copyAssistant",
    responses=problems(404, 409, 422),
)
async def copy(
    actor: CurrentActor, deps: Deps, assistant_name: AssistantName, response: Response
) -> AssistantRead:
    """Stores the assistant of the file under its name, from where it can be changed.

    The stored one takes precedence over that of the file from the next call on. Values that the
    file takes from variables are stored as they are now.
    """
    require_editor(actor)
    records = await asyncio.to_thread(deps.assistants_in_file)
    if assistant_name not in records:
        raise NotFoundError(f"there is no assistant {assistant_name!r} in the file of assistants")
    made = await deps.assistants.add(actor, records[assistant_name])
    response.headers["Location"] = f"/api/assistants/{assistant_name}"
    return AssistantRead.of(made)


@router.patch("/{assistant_name}", operation_id="updateAssistant", responses=problems(404, 409))
async def update(
    actor: CurrentActor, deps: Deps, assistant_name: AssistantName, body: AssistantUpdate
) -> AssistantRead:
    """Changes the fields named in a new version, and leaves the rest. It holds from the next call.

    With the `version` that the change is based on, it is refused (409) if there is a later one. A
    mask leaves a header of a tool as it is.
    """
    changed = await deps.assistants.change(
        actor,
        assistant_name,
        body.values(),
        version=body.version,
        ownership=body.ownership(),
    )
    return AssistantRead.of(changed)


@router.delete(
    "/{assistant_name}",
    status_code=204,
    operation_id="deleteAssistant",
    responses=problems(404, 409),
)
async def delete(
    actor: CurrentActor, deps: Deps, assistant_name: AssistantName, version: KnownVersion = None
) -> None:
    """Deletes an assistant and all versions of it. Calls that name it get the default one."""
    await deps.assistants.remove(actor, assistant_name, version=version)


@router.get(
    "/{assistant_name}/versions",
    response_model=AssistantPage,
    operation_id="listAssistantVersions",
    responses=problems(404),
)
async def list_versions(
    actor: CurrentActor,
    deps: Deps,
    assistant_name: AssistantName,
    params: Annotated[PageQuery, Query()],
) -> dict[str, Any]:
    """Lists the versions of an assistant, the latest first."""
    found = await deps.assistants.versions(
        actor, assistant_name, limit=params.limit, offset=params.offset
    )
    return _page(*found, params)


@router.get(
    "/{assistant_name}/versions/{version}",
    operation_id="getAssistantVersion",
    responses=problems(404),
)
async def get_version(
    actor: CurrentActor, deps: Deps, assistant_name: AssistantName, version: Version
) -> AssistantRead:
    """Returns an assistant as it was in one version."""
    return AssistantRead.of(await deps.assistants.get(actor, assistant_name, version))


@router.post(
    "/{assistant_name}/rollback",
    operation_id="rollbackAssistant",
    responses=problems(404, 409),
)
async def rollback(
    actor: CurrentActor, deps: Deps, assistant_name: AssistantName, body: AssistantRollback
) -> AssistantRead:
    """Makes a new version with the content of an older one."""
    made = await deps.assistants.rollback(actor, assistant_name, body.to, version=body.version)
    return AssistantRead.of(made)


@router.get("/{assistant_name}/diff", operation_id="diffAssistant", responses=problems(404))
async def diff(
    actor: CurrentActor,
    deps: Deps,
    assistant_name: AssistantName,
    *,
    before: Annotated[
        int | None, Query(ge=1, le=MAX_VERSION, description="Unless given: the one before that.")
    ] = None,
    after: Annotated[
        int | None, Query(ge=1, le=MAX_VERSION, description="Unless given: the present version.")
    ] = None,
) -> AssistantDifferences:
    """Returns the fields in which two versions differ."""
    found = await deps.assistants.differences(actor, assistant_name, before, after)
    return AssistantDifferences(
        fields={name: FieldDifference(before=old, after=new) for name, (old, new) in found.items()}
    )


async def _in_file(deps: Services) -> Sequence[AssistantRecord]:
    """Returns the assistants of the file that no stored one takes precedence over, by name."""
    try:
        records = await asyncio.to_thread(deps.assistants_in_file)
    except ConfigurationError as error:
        _logger.error(  # noqa: TRY400  the message says it all
            "ASSISTANTS_FILE cannot be read, so only stored assistants are listed; correct the"
            " file: %s",
            error,
        )
        return ()
    stored = await deps.assistants.names()
    return [records[name] for name in sorted(records.keys() - stored)]


def _page(items: Iterable[StoredAssistant], total: int, params: PageQuery) -> dict[str, Any]:
    return {
        "items": [AssistantRead.of(item) for item in items],
        "total": total,
        "limit": params.limit,
        "offset": params.offset,
    }
