"""Provides livekit-server: from PATH if its version fits, else built once into the cache."""

import re
import shutil
from pathlib import Path

from deploy import console, paths, stamps, toolchain

MODULE = paths.ROOT / "deploy" / "servers" / "livekit-server"
PACKAGE = "github.com/livekit/livekit-server/cmd/server"


class Pin:
    """The versions that go.mod pins: of the server, and of the Go that builds it."""

    def __init__(self, go_mod: str) -> None:
        server = re.search(r"livekit/livekit-server v(\S+)", go_mod)
        go = re.search(r"^go (\S+)", go_mod, re.MULTILINE)
        if not server or not go:
            raise ValueError("go.mod names no livekit-server or no Go version")
        self.version = server.group(1)
        self.go = toolchain.parse_version(go.group(1))

    def allows(self, version: toolchain.Version) -> bool:
        """Returns whether a build has the same major and minor version, with any patch."""
        return version[:2] == toolchain.parse_version(self.version)[:2]


def provide() -> Path:
    """Returns a livekit-server for this machine, and builds it first if there is none."""
    pin = Pin((MODULE / "go.mod").read_text(encoding="utf-8"))
    found = shutil.which("livekit-server")
    if found and pin.allows(toolchain.version_of(found, "--version")):
        console.say(f"LiveKit server: {found}")
        return Path(found)
    folder = paths.cache_folder() / "livekit-server" / pin.version
    program = folder / "livekit-server"
    stamp = folder / "built-from"
    inputs = stamps.digest_files(MODULE, [MODULE / "go.mod", MODULE / "go.sum"])
    if program.exists() and stamps.is_fresh(stamp, inputs):
        console.say(f"LiveKit server: {pin.version} is in the cache")
        return program
    with console.step(f"LiveKit server {pin.version}") as step, stamps.staged(folder) as staging:
        _build(pin, staging / program.name, step)
        stamps.write(staging / stamp.name, inputs)
    return program


def _build(pin: Pin, program: Path, step: console.Step) -> None:
    toolchain.build_go(
        PACKAGE,
        program,
        step,
        module=MODULE,
        go=pin.go,
        environ={"CGO_ENABLED": "0"},
        instead=f"put a livekit-server {pin.version} on PATH",
    )
