"""Pins the images of docker-compose.yml and the Dockerfile: asks their registries for the digests.

The versions stay as they are written. Needs Docker with buildx, and the network.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from deploy import console, paths, setup

FILES = (paths.ROOT / "docker-compose.yml", paths.ROOT / "deploy" / "Dockerfile")
_IMAGE = re.compile(r"(?m)^(FROM |\s+image: )([\w./-]+:[\w.-]+)(@sha256:[0-9a-f]{64})?(?=\s|$)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class DigestError(console.ReportedError):
    """A digest cannot be read; nothing is changed."""


def pin(text: str, resolve: Callable[[str], str]) -> str:
    """Returns the text with the digest of each image that has a version."""
    return _IMAGE.sub(lambda found: f"{found[1]}{found[2]}@{resolve(found[2])}", text)


def resolve(image: str) -> str:
    """Asks the image's registry for the digest of all its platforms. Raises DigestError."""
    command = [os.environ.get("DOCKER", "docker"), "buildx", "imagetools", "inspect"]
    options = ["--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(
            [*command, *options, image], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise DigestError(f"{command[0]} cannot be started ({error.strerror})") from error
    digest = done.stdout.strip()
    if done.returncode or not _DIGEST.fullmatch(digest):
        raise DigestError(f"{image}: no digest: {done.stderr.strip() or digest}")
    console.say(f"{image}@{digest}")
    return digest


def pin_files() -> None:
    """Rewrites all files, or none if a digest cannot be read."""
    pinned: dict[Path, str] = {}
    for file in FILES:
        pinned[file] = pin(file.read_text(encoding="utf-8"), resolve)
    for file, text in pinned.items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(setup.report_failures(pin_files))
