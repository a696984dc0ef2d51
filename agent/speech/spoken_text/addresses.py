"""Says e-mail and web addresses: espeak-ng drops their dots in most languages."""

import functools
import re

from agent.speech.spoken_text.words import Words, any_of

_LABEL = r"[^\W_][\w-]{0,62}"
_ADDRESS = re.compile(
    r"(?<![\w.@/+-])(?:"
    rf"[\w.+-]{{1,64}}@{_LABEL}(?:\.{_LABEL}){{1,8}}"
    r"|(?:https?://)[^\s<>()\"'“”]{1,500}"
    # Without a scheme only the small letters of its end tell it from "end.Next".
    rf"|[^\W\d_][\w-]{{0,62}}\.(?:{_LABEL}\.){{0,8}}[a-z]{{2,24}}(?![\w@-])(?!\.\w)"
    r"(?::\d{1,5}(?!\d))?(?:/[^\s<>()\"'“”]{0,500})?"
    r")",
)
_END = re.compile(r"[/.,;:!?…]+$")
_SCHEME = re.compile(r"^https?://")


def say_addresses(text: str, words: Words) -> str:
    def say(match: re.Match[str]) -> str:
        written = match[0]
        if (
            f"{written}." in words.titles
            or f"{written}." in words.endings
            or written in words.titles
        ):
            return written
        end = _END.search(written)
        closing = end[0].lstrip("/") if end else ""
        address = _SCHEME.sub("", _END.sub("", written))
        said = _sign(words).sub(lambda sign: f" {words.address.get(sign[0], '')} ", address)
        return " ".join(said.split()) + closing

    return _ADDRESS.sub(say, text)


@functools.cache
def _sign(words: Words) -> re.Pattern[str]:
    return re.compile(rf"{any_of(words.address)}|[^\w]")
