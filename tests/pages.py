"""Serves pages to a browser and examines them with axe, for the tests of every page."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.async_api import Page

from deploy import page as pages

_AXE = pages.MODULES / "axe-core" / "axe.min.js"
_FAULTS = """
async (within) => {
  const { violations } = await axe.run({ include: [[within]] });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((each) => each.html).join(" ")}`);
}
"""


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serves what the handler answers until the end of the block, and yields the origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def accessibility_faults(page: Page, within: str = "html") -> Sequence[str]:
    """Returns each rule of axe that the element breaks, with the parts that break it."""
    # Run by the browser's tools, so that the page's policy need not allow it.
    await page.evaluate(f"{{{_AXE.read_text(encoding='utf-8')}}}")
    found: Sequence[Any] = await page.evaluate(_FAULTS, within)
    return [str(each) for each in found]
