"""A client of the management API over HTTP. It raises the errors that the API raised itself."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import asdict
from typing import Any, NamedTuple, Self

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

_CONNECT_TIMEOUT = 5.0  # s
_ANSWER_TIMEOUT = 60.0  # s
_REPLY_TIMEOUT = 3_600.0
"""Seconds for a whole reply, which the gateway itself ends sooner."""
_CONNECTION = TypeAdapter(Connection)
_PAGE_SIZE = 200
_ERRORS: Mapping[int, type[RouterError]] = {
    400: ConfigurationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: ConfigurationError,
    422: ConfigurationError,
}
_DONE = "[DONE]"
"""The data of the last event of a stream of chat completions."""
_UNAUTHORIZED = 401
_FIRST_NOT_OK = 300
NDJSON = "application/x-ndjson"


class Completion(NamedTuple):
    """The answer of a path below /v1. `retry_after`: seconds, None where it does not say."""

    status: int
    request_id: str
    body: Any
    retry_after: float | None


class ApiClient:
    """A client of the API at `url`, with an API key. Close it, or use it within `async with`.

    `transport` replaces the network, for example by an application in the same process. Raises
    ApiError where proxies or certificates that the environment names cannot be used.
    """

    def __init__(
        self, url: str, key: str = "", *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/api")
        """Address of the HTTP process, as error messages name it."""
        try:
            self._client = httpx2.AsyncClient(
                base_url=f"{self.url}/",
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=httpx2.Timeout(_ANSWER_TIMEOUT, connect=_CONNECT_TIMEOUT),
                transport=transport,
            )
        except (ValueError, OSError, ImportError, httpx2.InvalidURL) as error:
            raise ApiError(
                f"{self.url} cannot be called as the environment is ({type(error).__name__}): check"
                " HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
            ) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float = _ANSWER_TIMEOUT,  # noqa: ASYNC109  handed to httpx2, which says what timed out
    ) -> Any:
        """Sends a request and returns the JSON of the answer, or None where it has no body.

        Parameters that are None or empty are left out; `timeout` is in seconds. Raises ApiError
        where the API does not answer, else the error that stands for the answer's status:
        ConfigurationError, ForbiddenError, NotFoundError, ConflictError or ReplyFailedError.
        """
        try:
            answer = await self._client.request(
                method, f"api{path}", json=body, params=_given(params), timeout=timeout
            )
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        self._raise_for(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise self._not_patchbay(answer) from error

    async def complete(self, path: str, body: Any) -> "Completion":
        """Posts to a path below /v1 and returns the answer, whatever its status.

        Raises ApiError where the API does not answer, refuses the key, or is none.
        """
        try:
            answer = await self._client.post(
                path.removeprefix("/"), json=body, timeout=_REPLY_TIMEOUT
            )
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status_code == _UNAUTHORIZED:
            raise self._unauthorized()
        try:
            content = answer.json()
        except ValueError as error:
            raise self._not_patchbay(answer) from error
        wait = answer.headers.get("retry-after", "")
        return Completion(
            answer.status_code,
            answer.headers.get("x-request-id", ""),
            content,
            float(wait) if wait.isdecimal() else None,
        )

    async def check_ready(self) -> None:
        """Raises ApiError unless the HTTP process, its database and LiveKit answer."""
        try:
            answer = await self._client.get("readyz")
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        self._raise_for(answer)

    async def stream_lines(self, path: str, body: Any) -> AsyncGenerator[dict[str, Any], None]:
        """Posts `body` and yields each line of the NDJSON answer. Raises as `request` does."""
        request = self._client.stream(
            "POST", f"api{path}", json=body, headers={"Accept": NDJSON}, timeout=_ANSWER_TIMEOUT
        )
        try:
            async with request as answer:
                if answer.status_code >= _FIRST_NOT_OK:
                    await answer.aread()
                self._raise_for(answer)
                async for line in answer.aiter_lines():
                    yield json.loads(line)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error

    async def follow_events(
        self, path: str, last: str = ""
    ) -> AsyncGenerator[tuple[str, str, Any], None]:
        """Yields the id, the name and the data of each server-sent event after the id `last`.

        Raises as `request` does.
        """
        headers = {"Last-Event-ID": last} if last else {}
        request = self._client.stream("GET", f"api{path}", headers=headers)
        async with aclosing(self._events(request)) as events:
            async for event in events:
                yield event

    async def send_for_events(
        self, path: str, body: Any
    ) -> AsyncGenerator[tuple[str, str, Any], None]:
        """Posts `body`, and yields the events of the answer as `follow_events` does."""
        request = self._client.stream("POST", f"api{path}", json=body)
        async with aclosing(self._events(request)) as events:
            async for event in events:
                yield event

    async def stream_completion(self, body: Any) -> AsyncGenerator[Any, None]:
        """Asks for a streamed chat completion, and yields the object of each frame.

        Raises ApiError where the API does not answer or refuses, and where the stream ends before
        its end; ReplyFailedError is none of its errors: a frame with `error` says so.
        """
        request = self._client.stream("POST", "v1/chat/completions", json=body)
        async with aclosing(self._events(request, is_done=True)) as events:
            async for _, _, frame in events:
                yield frame

    async def list_chat_models(self) -> list[dict[str, Any]]:
        """Returns the models of chat completions, as `GET /v1/models` shows them."""
        answer = await self._read("v1/models")
        try:
            return list(answer.json()["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._not_patchbay(answer) from error

    async def read_metrics(self) -> str:
        """Returns the series of the HTTP process, in Prometheus's text format."""
        return (await self._read("metrics")).text

    async def _read(self, path: str) -> httpx2.Response:
        """Returns the answer of a path at the root. Raises ApiError."""
        try:
            answer = await self._client.get(path)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        self._raise_at_root(answer)
        return answer

    async def _events(
        self, request: AbstractAsyncContextManager[httpx2.Response], *, is_done: bool = False
    ) -> AsyncGenerator[tuple[str, str, Any], None]:
        """Yields the events of an answer. `is_done`: it ends with [DONE], as those below /v1."""
        event_id = name = ""
        try:
            async with request as answer:
                if answer.status_code >= _FIRST_NOT_OK:
                    await answer.aread()
                (self._raise_at_root if is_done else self._raise_for)(answer)
                async for line in answer.aiter_lines():
                    field, _, value = line.partition(": ")
                    if field == "id":
                        event_id = value
                    elif field == "event":
                        name = value
                    elif field == "data" and is_done and value == _DONE:
                        return
                    elif field == "data":
                        yield event_id, name, json.loads(value)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise ApiError(f"{self.url}: sent what is no event; correct the address") from error
        if is_done:
            raise ApiError(f"{self.url}: the reply broke off; send the message again")

    async def list_items(self, path: str, params: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """Yields every item of a list, page after page. Raises the errors of `request`."""
        offset = 0
        while True:
            window = {"limit": _PAGE_SIZE, "offset": offset}
            page = await self.request("GET", path, params={**params, **window})
            for item in page["items"]:
                yield item
            offset += _PAGE_SIZE
            if offset >= page["total"]:
                return

    def _raise_for(self, answer: httpx2.Response) -> None:
        if answer.status_code < _FIRST_NOT_OK:
            return
        if answer.headers.get("content-type") != "application/problem+json":
            raise self._not_patchbay(answer)
        problem = answer.json()
        status = answer.status_code
        if status == _UNAUTHORIZED:
            raise self._unauthorized()
        if "reasons" in problem:
            raise ReplyFailedError([(name, reason) for name, reason in problem["reasons"]])
        if kind := _ERRORS.get(status):
            raise kind(problem["detail"])
        raise ApiError(f"{self.url}: {problem['title']}: {problem['detail']}")

    def _raise_at_root(self, answer: httpx2.Response) -> None:
        """Raises the ApiError that an answer below /v1 stands for, if it is no success."""
        if answer.status_code < _FIRST_NOT_OK:
            return
        if answer.status_code == _UNAUTHORIZED:
            raise self._unauthorized()
        try:
            body = answer.json()
            error = body.get("error")
            message = error["message"] if error else body["detail"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._not_patchbay(answer) from None
        raise ApiError(f"{self.url}: {message}")

    def _unauthorized(self) -> ApiError:
        return ApiError(
            f"{self.url}: the API key is missing or not valid there; put a valid key into"
            " PATCHBAY_API_KEY"
        )

    def _unreachable(self, error: httpx2.HTTPError) -> ApiError:
        if isinstance(error, httpx2.UnsupportedProtocol):
            return ApiError(f"{self.url}: is no address; write one such as http://127.0.0.1:8787")
        return ApiError(
            f"{self.url}: does not answer ({type(error).__name__}); start the HTTP process there"
            " (python -m agent.api), or correct the address"
        )

    def _not_patchbay(self, answer: httpx2.Response) -> ApiError:
        return ApiError(
            f"{self.url}: answers {answer.status_code}, but is not Patchbay; correct the address"
        )


async def find_connection(client: ApiClient, name_or_id: str) -> dict[str, Any]:
    """Finds a connection by its name, else by its id, and returns it as the API shows it.

    Raises NotFoundError where there is none, ConflictError where several owners have a connection
    of that name, and the errors of `ApiClient.request`.
    """
    page = await client.request("GET", "/connections", params={"name": name_or_id})
    found: list[dict[str, Any]] = page["items"]
    require_unique_name(name_or_id, [(item["id"], item["owner"]) for item in found])
    if found:
        return found[0]
    missing = NotFoundError(
        f"there is no connection {name_or_id[:100]!r}; list the connections to see their names"
    )
    if not ID_PATTERN.fullmatch(name_or_id):
        raise missing
    try:
        by_id: dict[str, Any] = await client.request("GET", f"/connections/{name_or_id}")
    except NotFoundError:
        raise missing from None
    return by_id


def require_unique_name(name: str, found: Sequence[tuple[str, str]]) -> None:
    """Raises ConflictError where several connections have this name.

    `found`: id and owner of each connection of the name.
    """
    if len(found) > 1:
        choices = ", ".join(f"{id_} (owner: {owner or 'none'})" for id_, owner in found)
        raise ConflictError(
            f"{len(found)} connections are called {name!r}; give the id of one: {choices}"
        )


def parse_connection(item: Mapping[str, Any]) -> Connection:
    """Returns the record, without secrets, that a JSON object of the API stands for."""
    fields = {name: item[name] for name in Connection.__dataclass_fields__ if name in item}
    return _CONNECTION.validate_python(fields)


def query_params(query: Query) -> dict[str, Any]:
    """Returns a query as parameters of the API, without limit and offset."""
    params = asdict(query)
    params["tag"] = params.pop("tags")
    params["order"] = "desc" if params.pop("descending") else "asc"
    return {name: value for name, value in params.items() if name not in {"limit", "offset"}}


def _given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        name: value for name, value in (params or {}).items() if value not in (None, (), [], "")
    }
