"""Serves a page of another website, with the widget's script in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.pages import serving

HOSTILE = """
  * { all: unset !important; }
  html { font-size: 62.5%; }
  :root * { z-index: 2147483647 !important; color: red !important; letter-spacing: 1em !important; }
  patchbay-widget, button, div, input { font-family: cursive !important; direction: rtl; }
"""
"""Styles that would spoil every element which they reach."""
BODY_TRAPS = """
  html, body { overflow: hidden; contain: paint; }
  body { transform: translateX(0); filter: grayscale(0.1); opacity: 0.9; height: 300px; }
"""
"""Styles of a body by which a fixed box in it moves with the body, and is cut off at its edge."""
MEDDLER = """<script>
  // As old libraries, error trackers and polyfills do it.
  Object.prototype.extend = function () { return this; };
  Array.prototype.last = function () { return this[this.length - 1]; };
  Array.prototype.toJSON = function () { return "[" + this.join() + "]"; };
  Object.prototype.site = "site_polluted";
  Object.prototype.server = "https://elsewhere.example";
  window.seen = [];
  for (const [owner, name] of [
    [window, "fetch"], [customElements, "define"], [EventTarget.prototype, "addEventListener"],
    [Node.prototype, "appendChild"], [Array.prototype, "map"], [window, "setTimeout"],
    [Element.prototype, "attachShadow"], [Document.prototype, "createElement"],
  ]) {
    const real = owner[name];
    owner[name] = function (...given) { window.seen.push(name); return real.apply(this, given); };
  }
</script>"""
"""A script that adds to every object and stands before the browser's own functions."""
FROZEN = """<script>
  for (const kind of [Object, Array, Function, Error, Promise, Map]) Object.freeze(kind.prototype);
</script>"""
"""A script that makes the browser's own objects unchangeable."""
OLD_LIBRARY = """<script>
  // What Prototype 1.6 and MooTools did to the browser's own objects.
  const toArray = (given) => Array.prototype.slice.call(given);
  Array.from = toArray;
  Array.prototype.toJSON = function () { return "[" + this.join(", ") + "]"; };
  Array.prototype.entries = function () { return toArray(this); };
  Array.prototype.each = function (each) { this.forEach(each); return this; };
  String.prototype.toJSON = function () { return '"' + this + '"'; };
  Date.prototype.toJSON = function () { return '"' + this.toISOString() + '"'; };
  Object.prototype.extend = function () { return this; };
  Object.prototype.label = "polluted";
  HTMLElement.prototype.remove = function () { this.parentNode.removeChild(this); return this; };
  HTMLElement.prototype.show = HTMLElement.prototype.hide = function () { return this; };
  document.getElementsByClassName = () => [];
  window.$ = window.$$ = () => null;
</script>"""
"""A script that changes them as old libraries did."""


def strict_policy(server: str, media: str) -> str:
    """Returns a Content-Security-Policy that allows the agent's servers and nothing else."""
    parts = {
        "default-src": "'none'",
        "script-src": server,
        "style-src": "'unsafe-inline'",  # the page's own hostile styles
        "connect-src": f"{server} {media} {media.replace('ws', 'http', 1)}",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


@contextmanager
def host_page(tag: str, policy: str = "", style: str = "", head: str = "") -> Iterator[str]:
    """Serves the page at every path until the end, and yields its origin. `tag` is at its end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (
                f"<!doctype html><html lang='en'><title>A shop</title>{head}"
                f"<style>{style}</style><h1>Tea</h1><p>We sell tea.</p>{tag.strip()}"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            if policy:
                self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with serving(Handler) as origin:
        yield origin
