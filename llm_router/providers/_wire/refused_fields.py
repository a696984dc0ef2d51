"""Finds the fields that a server's refusal names, and the changes of them that may cure it."""

import re
from collections.abc import Iterator

from llm_router.errors import StatusError
from llm_router.providers._wire.cures import Body, Cure, fingerprint, value_of


def sentence_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_ESSENTIAL = frozenset({"model", "messages", "stream", "tools", "prompt", "options", "input"})
_ESSENTIAL_IN_MESSAGES = frozenset(
    {"role", "content", "tool_calls", "tool_call_id", "id", "type", "function", "text", "image_url"}
)
_ESSENTIAL_IN_SCHEMAS = frozenset(
    {"type", "function", "name", "parameters", "properties", "json_schema", "schema", "items"}
)
_TOKEN = re.compile(r"[A-Za-z_$][\w$-]*(?:[.\[][\w$-]+\]?)*")
_QUOTED = re.compile(
    r"[\"'`‘“]([A-Za-z_$][\w$.\[\]-]*)[\"'`’”]|"
    r"\b(?:argument|parameter|field)s? [^:]{0,40}: ([a-z_]+)\W*$|"
    r"\bsupport (?:the )?(?:argument|parameter|field) ([A-Za-z_]+)",
    re.IGNORECASE,
)
_ORDINARY = frozenset(
    {"stop", "user", "n", "name", "seed", "store", "format", "think", "strict", "title", "default",
     "const", "examples", "pattern", "reasoning", "thinking", "metadata", "verbosity", "provider",
     "description", "detail", "audio", "prediction", "template", "raw", "not", "enum", "required",
     "index", "prefix", "partial", "refusal", "safe", "plugins", "transforms", "models", "route"}
)  # fmt: skip
"""Names that are words of English, too: only as a path or in quotes do they name a field."""
_OBJECTION = sentence_pattern(
    r"support|unknown|unrecogni|unexpected|permitted|allowed|extra|extraneous|forbid|find field|"
    r"invalid|must|should|only|deprecat|accept|cannot|can't|implement|available|no such|too |"
    r"less|greater|range|unavailable|disabled|require|restrict|incompatible|不支持|非法|无效|参数"
)
_OF_THE_VALUE = sentence_pattern(
    r"invalid.{0,8}schema|schema.{0,40}invalid|too (long|many)|above_max_length|whitespace"
)
"""Objections to one value of a field, others of which the server takes."""
_NUMBER = r"(\d[\d,_]{0,12}(?:\.\d{1,6})?)"
_AT_MOST = sentence_pattern(
    rf"(?:at most|<=|≤|less than or equal to|maximum(?: value)?(?: is| of)?|up to|no more than|"
    rf"cannot exceed|not exceed|max(?:imum)? .{{0,20}}(?:is|of|:)|below or equal to|"
    rf"\[[\d.]+,|between [\d.]+ and|\b\d\.\.)[ `'\"]{{0,2}}{_NUMBER}"
)
_AT_LEAST = sentence_pattern(
    rf"(?:at least|>=|≥|greater than or equal to|minimum(?: value)?(?: is| of)?) ?{_NUMBER}"
)
_WITH_A_LEAST = frozenset({"max_tokens", "max_completion_tokens", "temperature"})
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")


def shorter_reply(said: str, body: Body) -> Iterator[Cure]:
    """Yields cures for a reply that is asked to be longer than the model's replies may be."""
    for field in ("max_tokens", "max_completion_tokens"):
        if field in body and re.search(
            rf"{field}\W.{{0,60}}too (large|big|high|long)|in the completion", said
        ):
            if "context" not in said and (most := _AT_MOST.search(said)):
                yield Cure("at most", field, _number(most[1]))
            given = body[field]
            is_number = isinstance(given, int | float)
            # Shorter ones may have room.
            yield Cure("drop", field, of=given if is_number else fingerprint(given))


def named_paths(error: StatusError, said: str, body: Body) -> Iterator[list[str]]:
    """Yields the paths of fields that an error names, the plainest first."""
    if error.param:
        yield _split(error.param)
    quoted = [match[1] or match[2] or match[3] for match in _QUOTED.finditer(error.detail)]
    for name in quoted:
        yield _split(name)
    if not _OBJECTION.search(said):
        return
    for match in _TOKEN.finditer(error.detail):
        path = _split(match[0])
        if len(path) > 1 or path[0] not in _ORDINARY:
            yield path
    for name in body:  # "Argument not supported: top p", "reasoningEffort"
        if "_" in name and name.replace("_", " ") in error.detail.lower():
            yield [name]


def _split(path: str) -> list[str]:
    names = [part for part in re.split(r"[.\[\]]+", path) if part and not part.isdigit()]
    return [_snake(name) for name in names] or [""]


def _snake(name: str) -> str:
    if name in {"additionalProperties", "propertyNames", "exclusiveMinimum", "exclusiveMaximum"}:
        return name
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() if name[:1].islower() else name


def field_cures(path: list[str], said: str, body: Body) -> Iterator[Cure]:
    first, last = path[0], path[-1]
    if first == "body" and len(path) > 1:
        first = path[1]
    known = {*body, *body.get("options", ())} - _ESSENTIAL
    top = next((name for name in path if name in known), "")
    if top and first not in {"messages", "tools"}:
        yield from _top_cures(top, said, body)
        return
    if last not in _ESSENTIAL_IN_MESSAGES and first != "tools":
        yield Cure("drop in messages", last)
    for name in (last, _camel(last)):
        if name not in _ESSENTIAL_IN_SCHEMAS and first != "messages":
            yield Cure("drop in schemas", name)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _top_cures(field: str, said: str, body: Body) -> Iterator[Cure]:
    """Yields the cures of a field of the body itself: other values first, then without it."""
    value = value_of(body, field)
    of = fingerprint(value) if _OF_THE_VALUE.search(said) else ""
    least = most = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Others may mean by 0 that they are off, as top_k does.
        if field in _WITH_A_LEAST and (least := _AT_LEAST.search(said)):
            yield Cure("at least", field, _number(least[1]))
        if most := _AT_MOST.search(said):
            yield Cure("at most", field, _number(most[1]))
    if field in {"max_tokens", "max_completion_tokens"}:
        other = "max_completion_tokens" if field == "max_tokens" else "max_tokens"
        if other in said or not (least or most):
            yield Cure("rename", field, other)
    elif field == "response_format":
        yield Cure("json object", field, of=of)
        yield Cure("json in words", field, of=of)
    elif field == "tool_choice":
        yield Cure("one of", field, ("auto", "none"))
    elif field == "reasoning_effort":
        listed = said.partition("upported values")[2] or said.partition("one of")[2]
        if efforts := tuple(e for e in _EFFORTS if re.search(rf"\b{e}\b", listed)):
            yield Cure("one of", field, efforts)
    yield Cure("drop", field, of=of)


def _number(text: str) -> float:
    number = float(text.replace(",", "").replace("_", ""))
    return int(number) if number.is_integer() else number
