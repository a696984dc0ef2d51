"""Routes for sites, whose visitors may talk to an assistant. For admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.base import PageQuery
from llm_router.gateway.schemas.sites import (
    SiteCreate,
    SitePage,
    SiteRead,
    SiteRollback,
    SiteSecret,
    SiteUpdate,
    SiteVersionRead,
    SiteVersions,
)
from llm_router.voice.assistant import NAME_PATTERN

router = APIRouter(prefix="/sites", tags=["sites"])

SiteName = Annotated[
    str, Path(description="Of the site.", pattern=NAME_PATTERN, max_length=64, examples=["shop"])
]
KnownVersion = Annotated[
    int | None,
    Query(ge=1, le=10**9, description="The present one as you know it; 409 if it is not."),
]


@router.get("", response_model=SitePage, operation_id="listSites")
async def list_sites(
    actor: CurrentActor, deps: Deps, params: Annotated[PageQuery, Query()]
) -> dict[str, Any]:
    """Lists the sites by name."""
    found = await deps.sites.find(actor, limit=params.limit, offset=params.offset)
    return {
        "items": [SiteRead.of(one) for one in found.items],
        "total": found.total,
        "limit": params.limit,
        "offset": params.offset,
        "unreadable": found.unreadable,
    }


@router.post("", status_code=201, operation_id="createSite", responses=problems(409))
async def create(actor: CurrentActor, deps: Deps, body: SiteCreate, response: Response) -> SiteRead:
    """Creates a site and its key, which is public: it goes into the site's pages."""
    made = await deps.sites.add(actor, body.record())
    response.headers["Location"] = f"/api/sites/{made.record.name}"
    return SiteRead.of(made)


@router.get("/{site_name}", operation_id="getSite", responses=problems(404))
async def get(actor: CurrentActor, deps: Deps, site_name: SiteName) -> SiteRead:
    """Returns a site, and the cost of its calls today."""
    return SiteRead.of(await deps.sites.get(actor, site_name))


@router.patch("/{site_name}", operation_id="updateSite", responses=problems(404, 409))
async def update(
    actor: CurrentActor, deps: Deps, site_name: SiteName, body: SiteUpdate
) -> SiteRead:
    """Changes the fields named, and leaves the rest. It holds for new calls, within seconds.

    With the `version` that the change is based on, it is refused (409) if there is a later one.
    """
    changed = await deps.sites.change(actor, site_name, body.values(), version=body.version)
    return SiteRead.of(changed)


@router.delete(
    "/{site_name}", status_code=204, operation_id="deleteSite", responses=problems(404, 409)
)
async def delete(
    actor: CurrentActor, deps: Deps, site_name: SiteName, version: KnownVersion = None
) -> None:
    """Deletes a site. New calls with its key are refused; calls that go on are not ended."""
    await deps.sites.remove(actor, site_name, version=version)


@router.post("/{site_name}/rotate-key", operation_id="rotateSiteKey", responses=problems(404))
async def rotate_key(actor: CurrentActor, deps: Deps, site_name: SiteName) -> SiteRead:
    """Makes a new key for the site. Its pages must send that one: the old one is refused.

    The site's secret changes with it.
    """
    return SiteRead.of(await deps.sites.rotate_key(actor, site_name))


@router.get("/{site_name}/versions", operation_id="listSiteVersions", responses=problems(404))
async def list_versions(actor: CurrentActor, deps: Deps, site_name: SiteName) -> SiteVersions:
    """Lists the versions of a site, the latest first; a new key makes none."""
    found = await deps.sites.versions(actor, site_name)
    return SiteVersions(items=[SiteVersionRead.of(one) for one in found])


@router.post("/{site_name}/rollback", operation_id="rollbackSite", responses=problems(404, 409))
async def rollback(
    actor: CurrentActor, deps: Deps, site_name: SiteName, body: SiteRollback
) -> SiteRead:
    """Makes a new version with the content of an older one.

    The key stays, and so does whether it is active.
    """
    return SiteRead.of(await deps.sites.rollback(actor, site_name, body.to, version=body.version))


@router.get("/{site_name}/secret", operation_id="getSiteSecret", responses=problems(404))
async def secret(
    actor: CurrentActor, deps: Deps, site_name: SiteName, response: Response
) -> SiteSecret:
    """Returns the secret with which the site's server signs what its pages say of visitors."""
    found = await deps.sites.get(actor, site_name)
    response.headers["Cache-Control"] = "no-store"
    return SiteSecret(secret=deps.site_secrets.of(found.key))
