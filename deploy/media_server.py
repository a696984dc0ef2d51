"""Provides LiveKit's servers: from PATH if their version fits, else built once into the cache."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy import console, paths, stamps, toolchain

SIP_LIBRARIES: Mapping[str, str] = {
    "opus": "libopus-dev",
    "opusfile": "libopusfile-dev",
    "soxr": "libsoxr-dev",
}
"""Libraries in C that livekit-sip is built with, each with its package on Debian and Ubuntu."""


class Pin:
    """The versions that go.mod pins: of the server, and of the Go that builds it."""

    def __init__(self, go_mod: str) -> None:
        server = re.search(r"^require github.com/livekit/\S+ v(\S+)", go_mod, re.MULTILINE)
        go = re.search(r"^go (\S+)", go_mod, re.MULTILINE)
        if not server or not go:
            raise ValueError("go.mod names no server of LiveKit or no Go version")
        self.version = server.group(1)
        self.go = toolchain.parse_version(go.group(1))

    def allows(self, version: toolchain.Version) -> bool:
        """Returns whether a build has the same major and minor version, with any patch."""
        return version[:2] == toolchain.parse_version(self.version)[:2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server of LiveKit's, and how it is built. `version_variable`: where it keeps its version,
    unless in its source.
    """

    program: str
    title: str
    package: str
    version_variable: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)

    @property
    def module(self) -> Path:
        return paths.ROOT / "deploy" / "servers" / self.program

    @property
    def pin(self) -> Pin:
        return Pin((self.module / "go.mod").read_text(encoding="utf-8"))

    def provide(self) -> Path:
        """Returns the program for this machine, and builds it first if there is none."""
        pin = self.pin
        found = shutil.which(self.program)
        if found and pin.allows(toolchain.version_of(found, "--version")):
            console.say(f"{self.title}: {found}")
            return Path(found)
        folder = paths.cache_folder() / self.program / pin.version
        program = folder / self.program
        stamp = folder / "built-from"
        inputs = stamps.digest_files(self.module, [self.module / "go.mod", self.module / "go.sum"])
        if program.exists() and stamps.is_fresh(stamp, inputs):
            console.say(f"{self.title}: {pin.version} is in the cache")
            return program
        with console.step(f"{self.title} {pin.version}") as step, stamps.staged(folder) as staging:
            self._build(pin, staging / program.name, step)
            stamps.write(staging / stamp.name, inputs)
        return program

    def _build(self, pin: Pin, program: Path, step: console.Step) -> None:
        instead = f"put a {self.program} {pin.version} on PATH"
        check_libraries(self.title, self.libraries, instead)
        toolchain.build_go(
            self.package,
            program,
            step,
            module=self.module,
            go=pin.go,
            environ={"CGO_ENABLED": "1" if self.libraries else "0"},
            instead=instead,
            variables=f"-X {self.version_variable}={pin.version}" if self.version_variable else "",
        )


LIVEKIT = Server(
    program="livekit-server",
    title="LiveKit server",
    package="github.com/livekit/livekit-server/cmd/server",
)
SIP = Server(
    program="livekit-sip",
    title="SIP server",
    package="github.com/livekit/sip/cmd/livekit-sip",
    version_variable="github.com/livekit/sip/version.Version",
    libraries=SIP_LIBRARIES,
)


def check_libraries(title: str, libraries: Mapping[str, str], instead: str) -> None:
    """Raises StepError if the machine has no C compiler or lacks one of the libraries."""
    if not libraries:
        return
    tools = {"cc": "gcc", "pkg-config": "pkg-config"}
    missing = [package for program, package in tools.items() if not shutil.which(program)]
    if "pkg-config" in missing:  # which libraries there are cannot be found out without it
        missing += libraries.values()
    else:
        missing += [package for name, package in libraries.items() if not _has_library(name)]
    if missing:
        raise console.StepError(
            f"{title}: this machine lacks {', '.join(missing)}, which it is built with",
            f"install them, on Debian and Ubuntu with: apt install {' '.join(missing)}; or"
            f" {instead}",
        )


def _has_library(name: str) -> bool:
    asked = subprocess.run(["pkg-config", "--exists", name], check=False, capture_output=True)
    return asked.returncode == 0
