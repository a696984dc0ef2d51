"""Serves the built page: compressed where the browser takes that, and cached by hash."""

import os
import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response

_HASHED = re.compile(r".+-[A-Za-z0-9_-]{8}\.\w+")
"""Names that the build makes from a file's content, such as `index-BXq2oT0e.js`."""
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
"""The browser keeps the file, and asks each time whether it has changed."""
_ASSETS = "assets/"
"""The folder of scripts and styles, which is no page of the console."""
_COPIES = {"br": ".br", "gzip": ".gz"}
"""Endings of the compressed copies that the build leaves beside a file, best first."""


class PageFiles(StaticFiles):
    """The files of the page's folder.

    A file whose name holds a hash of its content is cached for ever. For any other the browser asks
    each time, so that a new build is seen at once. Files of the names `hidden` are not served.
    """

    def __init__(self, *, hidden: Collection[str] = (), **options: Any) -> None:
        super().__init__(**options)
        self._hidden = hidden

    async def get_response(self, path: str, scope: Any) -> Response:
        # By its name in any case and with any ending: some file systems ignore case, and copies lie
        # beside a file.
        name = Path(path).name.lower()
        if any(name.startswith(hidden) for hidden in self._hidden):
            raise HTTPException(404)
        return await super().get_response(path, scope)

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Any,
        status_code: int = 200,
    ) -> Response:
        path, encoding = Path(full_path), ""
        for coding in _accepted(Headers(scope=scope)):
            copy = path.with_name(path.name + _COPIES[coding])
            if copy.is_file():
                stat_result, encoding = copy.stat(), coding
                break
        sent = copy if encoding else path
        response = super().file_response(sent, stat_result, scope, status_code)
        response.headers.update(_headers(path.name, encoding))
        return response


class ConsoleFiles(PageFiles):
    """The files of the console, whose pages have addresses of their own: all are one file."""

    async def get_response(self, path: str, scope: Any) -> Response:
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != HTTPStatus.NOT_FOUND or path.startswith(_ASSETS):
                raise
            return await super().get_response("index.html", scope)


def _headers(name: str, encoding: str) -> Mapping[str, str]:
    caching = _FOR_EVER if _HASHED.fullmatch(name) else _ASK_AGAIN
    # Pages of other websites load the widget's scripts, and the files are the same for everybody.
    headers = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
    headers |= {"Cache-Control": caching, "Vary": "Accept-Encoding"}
    return {**headers, "Content-Encoding": encoding} if encoding else headers


def _accepted(headers: Headers) -> list[str]:
    """Returns the codings of the copies that the browser takes, best first."""
    refused: set[str] = set()
    named: set[str] = set()
    for part in headers.get("accept-encoding", "").lower().split(","):
        coding, _, quality = part.replace(" ", "").partition(";q=")
        (refused if _is_zero(quality) else named).add(coding)
    return [each for each in _COPIES if each not in refused and named & {each, "*"}]


def _is_zero(quality: str) -> bool:
    return bool(re.fullmatch(r"0(\.0*)?", quality))
