"""Answers without a model, by a few dozen rules.

`provider` builds the replies, `rules` finds the rule that matches an utterance, and `sums` solves
arithmetic. `talk.toml` holds the patterns and answers in each language.
"""

from llm_router.providers.offline.provider import create

__all__ = ["create"]
