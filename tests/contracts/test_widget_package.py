"""The packages @patchbay/widget and @patchbay/widget-react hold all that their users need."""

import json
import re
import shutil
from pathlib import Path

import pytest

from deploy import page
from tests.npm import npm

PACKAGE = page.SOURCE / "npm"
REACT = page.SOURCE.parent / "react"
MOST_BYTES = 90_000
"""Packed, without LiveKit's client."""


@pytest.mark.timeout(300)
async def test_the_package_has_its_module_its_parts_and_their_types() -> None:
    page.install(page.SOURCE)
    await npm(page.SOURCE, "run", "package")
    packed = json.loads(
        await npm(page.SOURCE, "pack", "./npm", "--dry-run", "--json", "--ignore-scripts")
    )
    [manifest] = packed.values() if isinstance(packed, dict) else packed
    files = {file["path"] for file in manifest["files"]}
    exported = json.loads((PACKAGE / "package.json").read_text())["exports"]["."]
    assert {path.removeprefix("./") for path in exported.values()} <= files
    assert {"LICENSE", "README.md"} <= files
    assert not {file for file in files if file.endswith((".ts", ".css")) and ".d." not in file}
    assert manifest["size"] < MOST_BYTES
    module = (PACKAGE / exported["default"]).read_text()
    assert "livekit-client" not in module  # it comes with the first call
    assert 'from "livekit-client"' in (PACKAGE / "dist" / "call.js").read_text()
    for name in ("index", "element", "words"):
        types = (PACKAGE / "dist" / f"{name}.d.ts").read_text()
        named = re.findall(r'from "\./(\w+)', types)
        assert {f"dist/{part}.d.ts" for part in named} <= files


USE = """
import "@patchbay/widget";
import type { PatchbayWidget, Phase } from "@patchbay/widget";

const widget: PatchbayWidget = document.createElement("patchbay-widget");
widget.say("Is the blue teapot in stock?");
widget.setContext({ customer: 17 }, "signature");
void widget.transcript().then((text) => text.length);
document.addEventListener("patchbay-phase", ({ detail }) => {
  const phase: Phase = detail;
  console.log(phase);
});
// @ts-expect-error: words are text
widget.say(17);
"""
USE_IN_REACT = """
import { Patchbay, type PatchbayWidget } from "@patchbay/widget-react";
import { createRef } from "react";

const widget = createRef<PatchbayWidget>();
export const shown = (
  <Patchbay ref={widget} server="https://voice.example" onMessage={({ who }) => console.log(who)} />
);
// @ts-expect-error: it has a server
export const lost = <Patchbay />;
"""


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.parametrize("resolution", ["bundler", "nodenext"])
async def test_an_empty_project_installs_the_packed_packages_and_their_types_fit(
    tmp_path: Path, resolution: str
) -> None:
    for source in (page.SOURCE, REACT):
        page.install(source)
        await npm(source, "run", "package")
    packed = []
    for source in (PACKAGE, REACT):
        printed = await npm(source, "pack", "--silent", "--pack-destination", str(tmp_path))
        packed.append(f"./{printed.split()[-1]}")
    versions = json.loads((REACT / "package.json").read_text())["devDependencies"]
    wanted = [f"{name}@{versions[name]}" for name in ("typescript", "react", "@types/react")]
    shutil.copy(page.SOURCE / ".npmrc", tmp_path)
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    await npm(tmp_path, "install", "--no-audit", "--no-fund", *packed, *wanted)
    (tmp_path / "use.ts").write_text(USE)
    (tmp_path / "in_react.tsx").write_text(USE_IN_REACT)
    options = {
        "strict": True,
        "noEmit": True,
        "target": "es2022",
        "lib": ["es2022", "dom", "dom.iterable"],
        "jsx": "react-jsx",
        "types": [],
        "module": "nodenext" if resolution == "nodenext" else "esnext",
        "moduleResolution": resolution,
    }
    config = {"compilerOptions": options, "files": ["use.ts", "in_react.tsx"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    await npm(tmp_path, "exec", "--", "tsc")
