"""API keys of the gateway: how they look, and what is kept of them.

A key is `pb_<id>_<secret>`. The id finds its row; the secret is 256 random bits. Of the key only a
SHA-256 is kept: a slow hash protects words that people choose and others can guess, which nobody
can do with 256 bits, and it would cost every request its time. The whole key is seen once, when it
is made.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

_SHAPE = re.compile(r"pb_([0-9a-f]{12})_[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: `text` is for its owner, once; the rest is for the table."""

    text: str = field(repr=False)
    id: str
    digest: str
    last_four: str


def make_key() -> NewKey:
    name = secrets.token_hex(6)
    text = f"pb_{name}_{secrets.token_hex(32)}"
    return NewKey(text, name, digest(text), text[-4:])


def key_id(text: str) -> str | None:
    """The id in a key, by which its row is found; None for what is no key at all."""
    shaped = _SHAPE.fullmatch(text)
    return shaped[1] if shaped else None


def digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def matches(text: str, kept: str) -> bool:
    """Whether `text` is the key whose digest was kept. Takes as long for a near miss as for any."""
    return hmac.compare_digest(digest(text), kept)
