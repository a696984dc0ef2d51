"""Serves a stored copy of OSV's advisories to pip-audit, for machines without a network.

OSV publishes a file a package index: `PyPI/all.zip` of its bucket, one JSON record an advisory
(ossf.github.io/osv-schema). The copy may be that file, or a folder of such records.
"""

import json
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from deploy.console import StepError

_MAX_QUERY = 100_000
Advisories = Mapping[str, list[Mapping[str, Any]]]
"""Records by the normalised name of a package."""


def read(copy: Path) -> Advisories:
    """Reads a copy. Raises StepError for one that has no advisory of PyPI, or cannot be read."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    remedy = "name OSV's PyPI/all.zip, or a folder of its records, in ADVISORIES"
    try:
        for text in _texts(copy):
            record = json.loads(text)
            for affected in record.get("affected", ()):
                package = affected.get("package", {})
                if package.get("ecosystem") == "PyPI":
                    found.setdefault(normalised(package["name"]), []).append(record)
    except (OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise StepError(f"{copy}: cannot be read as advisories ({error})", remedy) from error
    if not found:
        raise StepError(f"{copy}: there is no advisory of PyPI in it", remedy)
    return found


def matching(advisories: Advisories, name: str, version: str) -> list[Mapping[str, Any]]:
    """Returns the records about this version of a package: OSV lists every affected one of PyPI."""
    wanted = normalised(name)
    return [
        record
        for record in advisories.get(wanted, ())
        if any(
            normalised(affected.get("package", {}).get("name", "")) == wanted
            and version in affected.get("versions", ())
            for affected in record["affected"]
        )
    ]


@contextmanager
def served(advisories: Advisories) -> Iterator[str]:
    """Answers OSV's query for one package on a port of this machine; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("content-length", 0)), _MAX_QUERY)
            query = json.loads(self.rfile.read(length))
            records = matching(advisories, query["package"]["name"], query["version"])
            body = json.dumps({"vulns": records} if records else {}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing: pip-audit reports what it finds."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def normalised(name: str) -> str:
    """Returns a package's name in the form that all its spellings share (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _texts(copy: Path) -> Iterator[bytes]:
    if copy.is_dir():
        yield from (file.read_bytes() for file in sorted(copy.glob("**/*.json")))
        return
    with zipfile.ZipFile(copy) as archive:
        yield from (archive.read(name) for name in archive.namelist() if name.endswith(".json"))
