"""Announces the running demo to `llm-router doctor`, which reads it in `settings/running.py`."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy import paths

_SHARED = (
    "LIVEKIT_URL", "LIVEKIT_PUBLIC_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "HTTP_HOST",
    "HTTP_PORT", "WORKER_HOST", "WORKER_PORT", "DEMO", "DATABASE_URL", "ENCRYPTION_KEY_FILE",
    "CONNECTIONS_FILE", "STT_ENGINE", "STT_BASE_URL", "STT_MODEL", "TTS_ENGINE", "TTS_BASE_URL",
    "TTS_MODEL", "TTS_VOICE", "VOICE", "MODELS_FOLDER", "AGENT_NAME", "AGENT_LANGUAGE",
)  # fmt: skip
"""Variables that say where the demo's parts are and which engines speak; no vendor's key."""


@contextmanager
def announced(
    address: str, environ: Mapping[str, str], folder: Path | None = None
) -> Iterator[None]:
    """Keeps the settings of the demo at `address` in a file, for its owner alone, in the block.

    The file stays locked, so that one that a crash has left is recognised. Where it cannot be
    written, or another demo has it, the block runs without.
    """
    with ExitStack() as stack:
        try:
            _announce(stack, (folder or paths.state_folder()) / "demo.json", address, environ)
        except OSError:
            stack.close()
        yield


def _announce(stack: ExitStack, file: Path, address: str, environ: Mapping[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    opened = stack.enter_context(file.open("r+", encoding="utf-8"))
    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    variables = {name: environ[name] for name in _SHARED if environ.get(name)}
    about = {"address": address, "folder": str(paths.ROOT), "variables": variables}
    opened.truncate(0)
    json.dump(about, opened)
    opened.flush()
    stack.callback(file.unlink, missing_ok=True)
