"""Defines the format of the gateway's API keys, and the digest that is stored of them.

A key is `pb_<id>_<secret>`. The id finds its row; the secret is 256 random bits. Only a SHA-256 of
the key is stored: a slow hash protects passwords that others can guess, which is impossible for 256
bits, and would delay every request. The whole key is shown once, when it is made.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

_SHAPE = re.compile(r"pb_([0-9a-f]{12})_[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key: `text` is shown to its owner once; the other fields are stored."""

    text: str = field(repr=False)
    id: str
    digest: str
    last_four: str


def make_key() -> NewKey:
    name = secrets.token_hex(6)
    text = f"pb_{name}_{secrets.token_hex(32)}"
    return NewKey(text, name, digest(text), text[-4:])


def key_id(text: str) -> str | None:
    """Returns the id within a key, which finds its row, or None if the text is not a key."""
    shaped = _SHAPE.fullmatch(text)
    return shaped[1] if shaped else None


def digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def matches(text: str, stored: str) -> bool:
    """Returns whether `text` has the stored digest, in time that does not depend on its content."""
    return hmac.compare_digest(digest(text), stored)
