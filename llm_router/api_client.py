"""The management API, asked over HTTP. What it refuses is raised as the error it was there."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import httpx2
from pydantic import TypeAdapter

from llm_router.connections.record import ID_PATTERN, Connection
from llm_router.connections.store import Query
from llm_router.errors import (
    ApiError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ReplyFailedError,
    RouterError,
)

_CONNECT_WITHIN, _ANSWER_WITHIN = 5.0, 60.0
_RECORD = TypeAdapter(Connection)
_PAGE = 200
_ERRORS: Mapping[int, type[RouterError]] = {
    400: ConfigurationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: ConfigurationError,
    422: ConfigurationError,
}
_UNAUTHORIZED, _OK_BELOW = 401, 300
NDJSON = "application/x-ndjson"


class ApiClient:
    """At `url`, with an API key. Close it, or use it within `async with`.

    `transport`: another way to it than a socket.
    """

    def __init__(
        self, url: str, key: str = "", *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self.shown = url.rstrip("/").removesuffix("/api")
        self._client = httpx2.AsyncClient(
            base_url=f"{self.shown}/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(_ANSWER_WITHIN, connect=_CONNECT_WITHIN),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        within: float = _ANSWER_WITHIN,
    ) -> Any:
        """The JSON of the answer. Raises ApiError, and what the API itself refuses with."""
        try:
            answer = await self._client.request(
                method, f"api{path}", json=body, params=_said(params), timeout=within
            )
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        self._raise_for(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise self._no_patchbay(answer) from error

    async def ready(self) -> None:
        """Returns when all that the HTTP process needs answers. Raises ApiError."""
        try:
            answer = await self._client.get("readyz")
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        self._raise_for(answer)

    async def lines(self, path: str, body: Any) -> AsyncGenerator[dict[str, Any], None]:
        """Each line of an answer that comes bit by bit. Raises as `ask` does."""
        asked = self._client.stream(
            "POST", f"api{path}", json=body, headers={"Accept": NDJSON}, timeout=_ANSWER_WITHIN
        )
        try:
            async with asked as answer:
                if answer.status_code >= _OK_BELOW:
                    await answer.aread()
                self._raise_for(answer)
                async for line in answer.aiter_lines():
                    yield json.loads(line)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error

    async def pages(self, path: str, params: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """Every item of a list, page after page."""
        offset = 0
        while True:
            here = {**params, "limit": _PAGE, "offset": offset}
            page = await self.ask("GET", path, params=here)
            for item in page["items"]:
                yield item
            offset += _PAGE
            if offset >= page["total"]:
                return

    def _raise_for(self, answer: httpx2.Response) -> None:
        if answer.status_code < _OK_BELOW:
            return
        if answer.headers.get("content-type") != "application/problem+json":
            raise self._no_patchbay(answer)
        problem, status = answer.json(), answer.status_code
        if status == _UNAUTHORIZED:
            raise ApiError(
                f"{self.shown}: the API key is missing, or does not count there; put one that works"
                " into PATCHBAY_API_KEY"
            )
        if "reasons" in problem:
            raise ReplyFailedError([(name, reason) for name, reason in problem["reasons"]])
        if kind := _ERRORS.get(status):
            raise kind(problem["detail"])
        raise ApiError(f"{self.shown}: {problem['title']}: {problem['detail']}")

    def _unreachable(self, error: httpx2.HTTPError) -> ApiError:
        return ApiError(
            f"{self.shown}: does not answer ({type(error).__name__}); start the HTTP process there"
            " (python -m agent.api), or correct the address"
        )

    def _no_patchbay(self, answer: httpx2.Response) -> ApiError:
        return ApiError(
            f"{self.shown}: answers {answer.status_code}, but not as Patchbay does; correct the"
            " address"
        )


async def find_connection(client: ApiClient, name_or_id: str) -> dict[str, Any]:
    """The one of that name, else of that id, as JSON. Raises NotFoundError, and ConflictError where
    several owners have one of that name.
    """
    page = await client.ask("GET", "/connections", params={"name": name_or_id})
    found: list[dict[str, Any]] = page["items"]
    refuse_several(name_or_id, [(item["id"], item["owner"]) for item in found])
    if found:
        return found[0]
    absent = NotFoundError(f"there is no connection {name_or_id[:100]!r}; list them to see")
    if not ID_PATTERN.fullmatch(name_or_id):
        raise absent
    try:
        by_id: dict[str, Any] = await client.ask("GET", f"/connections/{name_or_id}")
    except NotFoundError:
        raise absent from None
    return by_id


def refuse_several(name: str, found: Sequence[tuple[str, str]]) -> None:
    """`found`: the id and the owner of each connection that is called so."""
    if len(found) > 1:
        said = ", ".join(f"{id_} (of {owner or 'nobody'})" for id_, owner in found)
        raise ConflictError(f"{len(found)} connections are called {name!r}; give one's id: {said}")


def connection_of(shown: Mapping[str, Any]) -> Connection:
    """The record that the API shows, which is without secrets."""
    fields = {name: shown[name] for name in Connection.__dataclass_fields__ if name in shown}
    return _RECORD.validate_python(fields)


def params_of(query: Query) -> dict[str, Any]:
    """A query as the API is asked it; how many there are is left to `pages`."""
    said = asdict(query)
    said["tag"], said["order"] = said.pop("tags"), "desc" if said.pop("descending") else "asc"
    return {name: value for name, value in said.items() if name not in {"limit", "offset"}}


def _said(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is None, or no tag at all, is not asked."""
    return {
        name: value for name, value in (params or {}).items() if value not in (None, (), [], "")
    }
