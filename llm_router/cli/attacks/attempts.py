"""One function for each class of vulnerability. Each raises httpx2.HTTPError or OSError where the
target does not answer.
"""

import re
import site
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from llm_router.cli.attacks.target import FROM_ELSEWHERE, Outcome, Target, Trap
from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.gateway.hosts import is_loopback

_INJECTED = "x' OR pg_sleep(8)--"
_SLOW = 5.0
"""Seconds after which a key that is no key has been somewhere that it should not be."""
_MOST_ROUTES = 12
"""Routes that a wrong key is tried at: more would meet the limit of requests without a key."""
_PROTECTED = ("/api/keys", "/api/connections", "/api/audit", "/v1/models")
_FOR_ADMINS = ("/api/keys", "/api/audit", "/api/calls", "/api/messages")
_PROGRAMS = frozenset(
    {"command", "cmd", "args", "argv", "executable", "shell", "script", "stdio", "plugin"}
)
_LEFT_OPEN = ("/docs", "/redoc", "/openapi.json", "/debug/pprof/", "/.env", "/.git/config")
_HOSTS = ("a/?x=", "h/#", "evil.example/api/me?x=", "@evil.example")
_PATHS = ("@evil.example/api/keys", "//api/keys", "/api/me/../keys", "/api/keys;/healthz")
_PRIVATE = ("http://169.254.169.254/v1", "http://[64:ff9b::a9fe:a9fe]/v1", "http://2852039166/v1")
_TOO_LARGE = 9 * 2**20
_TOO_DEEP = 1_000
_QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
_CHATS = "/v1/chat/completions"
_KNOWN_PTH = re.compile(
    r"_patchbay_\w+|__editable__.*|distutils-precedence|_?virtualenv|_pytest_\w+|a1_coverage"
)
NEEDS_KEY = Outcome("not applicable", "needs a key: set PATCHBAY_API_KEY")


async def sql_in_key(target: Target, clock: Clock | None = None) -> Outcome:
    """Sends a piece of SQL as the key."""
    clock = clock or SystemClock()
    answered = 0
    for path in _listed(await target.document()) or _PROTECTED:
        for headers in ({"Authorization": f"Bearer {_INJECTED}"}, {"x-api-key": _INJECTED}):
            began = clock.now()
            answer = await target.ask("GET", path, headers={**headers, **FROM_ELSEWHERE})
            if clock.now() - began > _SLOW:
                return Outcome("failed", f"GET {path} takes {_SLOW:g} s for a key that is SQL")
            if answer.is_success or answer.is_server_error:
                return Outcome("failed", f"GET {path} answers {answer.status_code} to it")
            answered += answer.status_code != HTTPStatus.TOO_MANY_REQUESTS
    if not answered:
        return Outcome("not applicable", "the limit of requests is used up; try it in a minute")
    return Outcome("passed", f"{answered} requests were refused, at once")


async def forged_host(target: Target) -> Outcome:
    """Asks for what needs a key with hosts and paths that mean another route."""
    for path, host in [("/api/keys", host) for host in _HOSTS] + [(p, target.host) for p in _PATHS]:
        status, location = await target.ask_untidily(path, host)
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return Outcome("failed", f"GET {path} for host {host} answers {status} without a key")
        if "evil.example" in location:
            return Outcome("failed", f"GET {path} for host {host} leads to another host")
    return Outcome("passed", f"{len(_HOSTS)} hosts and {len(_PATHS)} paths open nothing")


async def programs(target: Target) -> Outcome:
    """Searches the requests of the API for fields that name a program."""
    document = await target.document()
    if not document:
        return Outcome("not applicable", "there is no OpenAPI document to search")
    bodies = [
        content
        for operations in document.get("paths", {}).values()
        for operation in operations.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    schemas = document.get("components", {}).get("schemas", {})
    if found := _PROGRAMS & set(_properties(bodies, schemas, set())):
        return Outcome("failed", f"requests have the fields {', '.join(sorted(found))}")
    return Outcome("passed", f"no request of {len(bodies)} names one")


async def open_without_key(target: Target) -> Outcome:
    """Asks for what needs a key without one."""
    for path in _PROTECTED:
        answer = await target.ask("GET", path, headers=FROM_ELSEWHERE)
        if answer.is_success:
            return Outcome("failed", f"GET {path} answers {answer.status_code} without a key")
    answer = await target.ask("POST", _CHATS, body=_QUESTION, headers=FROM_ELSEWHERE)
    if answer.is_success:
        return Outcome("failed", f"POST {_CHATS} is answered without a key")
    return Outcome("passed", "everything that was tried needs a key")


async def templates(target: Target) -> Outcome:
    """Stores a title that is a template."""
    if not target.key:
        return NEEDS_KEY
    title = "{{ 7 * 7 }} ${7*7} #{7*7}"
    answer = await target.ask("POST", "/api/chats", key=target.key, body={"title": title})
    if answer.status_code != HTTPStatus.CREATED:
        return Outcome("not applicable", "this key may store no text")
    chat = answer.json()
    await target.ask("DELETE", f"/api/chats/{chat['id']}", key=target.key)
    if chat["title"] != title:
        return Outcome("failed", "a title was rendered as a template")
    return Outcome("passed", "texts stay as they are")


async def elsewhere(target: Target) -> Outcome:
    """Asks for a word with fields and headers that say where the request should go."""
    if not target.key:
        return NEEDS_KEY
    async with Trap().opened(await target.own_address()) as trap:
        names = ("api_base", "base_url", "custom_llm_provider", "url", "endpoint")
        body = {**_QUESTION, **dict.fromkeys(names, trap.url), "api_key": "sk-none"}
        headers = dict.fromkeys(("x-portkey-custom-host", "x-api-base", "x-base-url"), trap.url)
        answer = await target.ask("POST", _CHATS, key=target.key, body=body, headers=headers)
        if trap.visitors:
            return Outcome("failed", "the request went to the address that it named")
    if not answer.is_success:
        return Outcome("not applicable", f"no word was given: {answer.status_code}")
    return Outcome("passed", "it went to a stored connection")


async def metadata_service(target: Target) -> Outcome:
    """Has a connection to the clouds' metadata service tested, with a key that is no admin's."""
    if not target.key:
        return NEEDS_KEY
    if await _role(target) == "admin":
        return Outcome("not applicable", "admins may use any address; try it with an editor's key")
    for url in _PRIVATE:
        body = {"name": "attack", "base_url": url, "model_name": "m"}
        answer = await target.ask("POST", "/api/connections/test", key=target.key, body=body)
        if answer.is_success or answer.is_server_error:
            return Outcome("failed", f"a connection to {url} answers {answer.status_code}")
    return Outcome("passed", "addresses of the network itself are refused")


async def config_for_any_key(target: Target, clock: Clock | None = None) -> Outcome:
    """Asks for what is the admins' with a viewer's key, or with this one if it is no admin's."""
    if not target.key:
        return NEEDS_KEY
    if await _role(target) != "admin":
        return await _refused(target, target.key, _FOR_ADMINS)
    until = (utc_now(clock) + timedelta(minutes=10)).isoformat()
    new = {"name": "attack", "role": "viewer", "expires_at": until}
    made = await target.ask("POST", "/api/keys", key=target.key, body=new)
    if made.status_code != HTTPStatus.CREATED:
        return Outcome("not applicable", f"no key of a viewer could be made: {made.status_code}")
    key = made.json()
    try:
        return await _refused(target, key["key"], _FOR_ADMINS)
    finally:
        await target.ask("DELETE", f"/api/keys/{key['id']}", key=target.key)


async def one_key_two_purposes(target: Target) -> Outcome:
    """Uses the cookie of a session as a key, and the key as a cookie."""
    if not target.key:
        return NEEDS_KEY
    answer = await target.ask("POST", "/api/session", body={"api_key": target.key})
    cookie = next(iter(answer.cookies.items()), None)
    if cookie is None:
        return Outcome("not applicable", "there are no sessions")
    name, value = cookie
    headers = {"Cookie": f"{name}={value}", "Origin": target.url}
    await target.ask("DELETE", "/api/session", headers=headers)
    as_key = await target.ask("GET", "/api/me", key=value)
    as_cookie = await target.ask("GET", "/api/me", headers={"Cookie": f"{name}={target.key}"})
    if as_key.is_success or as_cookie.is_success:
        return Outcome("failed", "a session's cookie is a key, or a key is a cookie")
    after = await target.ask("GET", "/api/me", headers={"Cookie": f"{name}={value}"})
    if after.is_success:
        return Outcome("failed", "a session goes on after its end")
    return Outcome("passed", "neither is taken for the other, and a session ends")


async def second_header(target: Target) -> Outcome:
    """Compares the two headers in which a key may come."""
    if not target.key:
        return NEEDS_KEY
    first = await target.ask("GET", "/api/me", key=target.key)
    second = await target.ask("GET", "/api/me", headers={"x-api-key": target.key})
    if first.status_code != second.status_code or first.content != second.content:
        return Outcome("failed", "a key has other rights in x-api-key than as a bearer")
    wrong = await target.ask("GET", "/api/me", headers={"x-api-key": "pb_wrong"})
    if wrong.is_success:
        return Outcome("failed", "any x-api-key is taken")
    return Outcome("passed", "both mean the same")


async def monitoring_without_key(target: Target) -> Outcome:
    """Asks for figures without a key."""
    for path in ("/metrics", "/api/analytics/summary", "/api/metrics"):
        answer = await target.ask("GET", path, headers=FROM_ELSEWHERE)
        if answer.is_success:
            return Outcome("failed", f"GET {path} is answered without a key")
    overview = await target.ask("GET", "/api/healthz", headers=FROM_ELSEWHERE)
    if overview.is_success and overview.json().get("details"):
        return Outcome("failed", "GET /api/healthz names models without a key")
    return Outcome("passed", "figures need a key")


async def left_open(target: Target) -> Outcome:
    """Asks for pages of development, and for files that are no pages."""
    for path in _LEFT_OPEN:
        answer = await target.ask("GET", path, headers=FROM_ELSEWHERE)
        if answer.is_success:
            return Outcome("failed", f"GET {path} is answered")
    return Outcome("passed", "no page of development is there")


async def code_in_packages(target: Target) -> Outcome:
    """Lists files of this Python that run code in every process."""
    if not is_loopback(target.host):
        return Outcome("not applicable", "the environment of another machine; run it there")
    folders = [Path(folder) for folder in site.getsitepackages()]
    found = sorted(file.stem for folder in folders for file in folder.glob("*.pth"))
    if unknown := [name for name in found if not _KNOWN_PTH.fullmatch(name)]:
        return Outcome("failed", f"unknown .pth files run code: {', '.join(unknown)}")
    return Outcome("passed", "no .pth file but known ones")


async def code_in_data(_: Target) -> Outcome:
    """Says that pickles cannot be seen from outside."""
    return Outcome("not applicable", "cannot be seen from outside; the linter bans such formats")


async def huge_requests(target: Target) -> Outcome:
    """Sends a body that is too large, and one that is too deep."""
    if not target.key:
        return NEEDS_KEY
    bodies = (b'{"x": "' + b"a" * _TOO_LARGE + b'"}', b"[" * _TOO_DEEP + b"]" * _TOO_DEEP)
    for content in bodies:
        answer = await target.ask("POST", _CHATS, key=target.key, content=content)
        if not answer.is_client_error:
            return Outcome("failed", f"{len(content):,} bytes are answered {answer.status_code}")
    return Outcome("passed", "both are refused")


async def _role(target: Target) -> str:
    answer = await target.ask("GET", "/api/me", key=target.key)
    return str(answer.json().get("role", "")) if answer.is_success else ""


async def _refused(target: Target, key: str, paths: Sequence[str]) -> Outcome:
    for path in paths:
        answer = await target.ask("GET", path, key=key)
        if answer.is_success:
            return Outcome("failed", f"GET {path} is answered to a key that is no admin's")
    return Outcome("passed", "what is the admins' is refused to others")


def _listed(document: Mapping[str, Any]) -> list[str]:
    """Returns routes that are asked by GET and need a key, as far as the document says so."""
    free = {"/api/session", "/healthz", "/readyz", "/api/healthz"}
    paths = [
        path
        for path, operations in document.get("paths", {}).items()
        if "get" in operations and "{" not in path and path not in free
        if operations["get"].get("security")
    ]
    return paths[:_MOST_ROUTES]


def _properties(schema: Any, schemas: Mapping[str, Any], seen: set[str]) -> Iterator[str]:
    """Yields the name of every property in a schema and in those that it refers to."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            yield from _properties(schemas.get(name, {}), schemas, seen)
        schema = [*schema.values()]
    if isinstance(schema, list):
        for each in schema:
            yield from _properties(each, schemas, seen)
