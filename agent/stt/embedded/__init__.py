"""Transcribes English with pocketsphinx: no key, no download and no network.

`decoder` wraps pocketsphinx's C interface, `engine` is the STT that LiveKit uses.
"""

from agent.stt.embedded.engine import EmbeddedSTT, create

__all__ = ["EmbeddedSTT", "create"]
