"""Serves the built page: compressed where the browser takes that, and cached by hash."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.responses import Response

_HASHED = re.compile(r".+-[A-Za-z0-9_-]{8}\.\w+")
"""Names that the build makes from a file's content, such as `index-BXq2oT0e.js`."""
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
"""The browser keeps the file, and asks each time whether it has changed."""
_COPIES = {"br": ".br", "gzip": ".gz"}
"""Endings of the compressed copies that the build leaves beside a file, best first."""


class PageFiles(StaticFiles):
    """The files of the page's folder.

    A file whose name holds a hash of its content is cached for ever. For any other the browser asks
    each time, so that a new build is seen at once.
    """

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


def _headers(name: str, encoding: str) -> Mapping[str, str]:
    caching = _FOR_EVER if _HASHED.fullmatch(name) else _ASK_AGAIN
    headers = {"Cache-Control": caching, "Vary": "Accept-Encoding"}
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
