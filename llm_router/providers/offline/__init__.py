"""Answers without a model, by a few dozen rules.

`talk.toml` holds the phrases; `rules`, `sums` and `words` find the one that fits.
"""

from llm_router.providers.offline.provider import create

__all__ = ["create"]
