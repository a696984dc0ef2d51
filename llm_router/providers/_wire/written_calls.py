"""Reads the tool calls that models write into their words."""

import ast
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from llm_router.providers._wire.arguments import JsonScanner
from llm_router.providers._wire.tools import OfferedTools

_NAMES = ("name", "tool_name", "function_name", "tool", "function", "action", "recipient_name")
_ARGUMENTS = ("arguments", "parameters", "args", "params", "input", "tool_input", "action_input")
_AROUND = ("function", "function_call", "tool_call", "tool_calls", "tool_uses")
_BESIDE = frozenset({"id", "type", "index", "call_id", "tool_call_id"})

_FUNCTION = re.compile(
    r"<(?:[\w｜|]+[:｜|])?(?:(?:invoke|function)(?:=|\(|\s+name=|\s+)|(?:tool_call|function_call|tool)\s+name=)\s*[\"']?([^\"'>\s({]+)[\"']?"
    r"[>)\s]*(.*?)(?=</?(?:[\w｜|]+[:｜|])?(?:invoke|function)[>\s=(]|\Z)",
    re.DOTALL,
)
_PARAMETER_BEGINS = re.compile(r"<(?:[\w｜|]+[:｜|])?(?:parameter|param)(?:=|\s+name=)")
_PARAMETER = re.compile(
    _PARAMETER_BEGINS.pattern + r"\s*+[\"']?([^\"'>\s]{1,256}+)[\"']?+[^>]{0,256}+>"
    r"(.*?)(?=</?(?:[\w｜|]+[:｜|])?(?:parameter|param)[>\s=])",
    re.DOTALL,
)
_OWN_TAG = re.compile(r"<([\w-]+)>(.*)</\1>", re.DOTALL)
_CHILD = re.compile(r"<([\w-]{1,256}+)>")
_NAMED = re.compile(
    r"<(?:tool_)?name>([^<]*)</(?:tool_)?name>\s*"
    r"<(?:arguments|parameters|args|input)>"
    r"((?:[^<]++|<(?!/(?:arguments|parameters|args|input)>))*+)</\w+>",
)
_KEYED = re.compile(
    r"<arg_key>((?:[^<]++|<(?!/?arg_))*+)</arg_key>\s*+"
    r"<arg_value>((?:[^<]++|<(?!/?arg_))*+)</arg_value>"
)
_ARGUMENT = re.compile(  # Kimi K3
    r'<\|open\|>argument key="([^"]+)"[^<]*<\|sep\|>(.*?)(?=(?:<\|close\|>)?argument<\|sep\|>)',
    re.DOTALL,
)
_TOOL = re.compile(r'tool="([^"]+)"')
_PREFIXES = re.compile(r"\]<\]minimax\[>\[|(?:(?<=<)|(?<=</))(?:longcat_|xai:)")
"""Prefixes that MiniMax M3, LongCat and Grok write before, or in, each of their tags."""
_QUOTED = re.compile(r'<\|"\|>(.*?)<\|"\|>|<escape>(.*?)<escape>', re.DOTALL)
_BARE_KEY = re.compile(r'([{,]\s*)([A-Za-z_][\w-]*)\s*:(?=\s*["\d\-{\[tfn])')
_TAG = re.compile(r"</?[^<>]*>")
_FENCE = re.compile(r"```(?:\w+(?=\s*[\[{]))?")
_BESIDE_NAMES = re.compile(
    r"✿\w+✿:?|Action(?: Input)?\*{0,2}:|\[CALL_ID\]\w*|\[ARGS\]|</?[^<>]*>|```\w*|"
    r"\b(?:json|function|commentary|assistant|tool_call)\b"
)
_NAME = re.compile(r"([\w./:-]*\w)[\s(:`*]*\Z", re.ASCII)
_OF_AGENT = re.compile(r"\A\*{0,2}Action\*{0,2}:.*?(?=\n\*{0,2}Observation\*{0,2}:|\Z)", re.DOTALL)
"""An agent's call, without the result that the model has made up."""
_NO_INPUT = re.compile(
    r"Action Input\*{0,2}:[\s*`\"']*+(?:none|null|n/a)?+[\s`\"'.]*+\Z", re.IGNORECASE
)
"""The input of an agent's call without arguments."""
_NAMESPACED = re.compile(r"functions\.[\w.-]+", re.ASCII)
_PYTHON = re.compile(r"[\s\[(]*+(?:print\s*+\(\s*+)?+[A-Za-z_][\w.]*+\s*+\(")
_CODE_SIZE = 1 << 16
_LONGEST_NAME = 128
_MOST_FAILED = 20
"""Brackets that begin no JSON, after which no more are tried: each may be read to its end."""
_decode = json.JSONDecoder(strict=False).raw_decode


class WrittenCall(NamedTuple):
    name: str
    arguments: str


def written_calls(text: str, tools: OfferedTools) -> list[WrittenCall]:
    """Returns the calls that a text between a call's marks makes; none if it cannot be read.

    The marks are no guide to the form, which models mix. So each form is tried: tags with a tag a
    parameter, Python, JSON with the name inside or before it, and a name alone.
    """
    text = _PREFIXES.sub("", text)
    if of_agent := _OF_AGENT.match(text):
        text = of_agent[0]
    for read in (_from_tags, _from_keys, _from_python, _from_json, _from_name):
        if calls := [*read(text, tools)]:
            return calls
    return []


def is_call(value: Any) -> bool:
    """Returns whether a JSON value is a tool call, or a list of them, and nothing else."""
    if isinstance(value, list):
        return bool(value) and all(map(is_call, value))
    if not isinstance(value, dict):
        return False
    for around in _AROUND:
        if isinstance(value.get(around), dict | list):
            return is_call(value[around])
    has_name = any(isinstance(value.get(name), str) for name in _NAMES)
    has_arguments = any(isinstance(value.get(name), dict | str) for name in _ARGUMENTS)
    return has_name and has_arguments and value.keys() <= {*_NAMES, *_ARGUMENTS, *_BESIDE}


def is_written_call(text: str, tools: OfferedTools) -> bool:
    """Returns whether a text in brackets is a call and nothing else."""
    inner = _FENCE.sub("", text).strip()
    if inner.startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            if is_call(_decode(inner)[0]):
                return True
    calls = written_calls(text, tools)
    if not tools:
        return bool(calls) and "<" in inner
    return bool(calls) and all(tools.resolve(call.name) for call in calls)


def is_answer(call: WrittenCall, tools: OfferedTools) -> bool:
    """Returns whether a call is the words in which an agent (LangChain) ends its work."""
    is_text = not call.arguments.startswith("{")
    return call.name == "Final Answer" and is_text and not tools.resolve(call.name)


def are_arguments(text: str, tools: OfferedTools) -> bool:
    """Returns whether a text is the arguments of a tool, without a name."""
    try:
        value = _decode(text)[0]
    except (ValueError, RecursionError):
        return False
    if not (isinstance(value, dict) and value):
        return False
    return any(value.keys() <= {*tools.parameters(name)} for name in tools.names)


def _from_tags(text: str, tools: OfferedTools) -> Iterator[WrittenCall]:
    if (own := _OWN_TAG.match(text)) and tools.resolve(own[1]):
        if pairs := _children(own[2]):
            yield _of_pairs(own[1], pairs, tools)
        else:
            yield WrittenCall(own[1], own[2].strip() or "{}")
        return
    for name, body in _NAMED.findall(text):
        pairs = _children(body)
        yield _of_pairs(name, pairs, tools) if pairs else WrittenCall(name.strip(), body.strip())
    for name, body in _FUNCTION.findall(text):
        pairs = _PARAMETER.findall(body)
        if len(pairs) < len(_PARAMETER_BEGINS.findall(body)):  # the last one is cut
            return
        pairs = pairs or _children(body)
        if pairs:
            yield _of_pairs(name, pairs, tools)
        elif "{" in body:
            yield WrittenCall(name, body[body.index("{") :])
        elif "</" in text:
            yield WrittenCall(name, "{}")


def _children(text: str) -> list[tuple[str, str]]:
    """Returns the names and bodies of the tags in a text that are closed."""
    found, place = [], 0
    while tag := _CHILD.search(text, place):
        place = tag.end()
        if (end := text.find(f"</{tag[1]}>", place)) >= 0:
            found.append((tag[1], text[place:end]))
            place = end + len(tag[1]) + len("</>")
    return found


def _from_keys(text: str, tools: OfferedTools) -> Iterator[WrittenCall]:
    if _ARGUMENT.search(text):
        for part in text.split("<|open|>toolscall"):
            if tool := _TOOL.search(part):
                yield _of_pairs(tool[1], _ARGUMENT.findall(part), tools)
    if "<arg_key>" in text:
        for part in re.split(r"<tool_call>|</tool_call>", text):
            pairs = _KEYED.findall(part)
            if len(pairs) < part.count("<arg_key>"):
                return
            if pairs:
                name = _BESIDE_NAMES.sub("", part.partition("<arg_key>")[0]).strip()
                yield _of_pairs(name, pairs, tools)


def _of_pairs(name: str, pairs: list[tuple[str, str]], tools: OfferedTools) -> WrittenCall:
    known = tools.resolve(name) or ""
    values = {key.strip(): _value(text, tools.type_of(known, key.strip())) for key, text in pairs}
    return WrittenCall(name, json.dumps(values))


def _value(text: str, wanted: object) -> Any:
    """Returns a parameter's value, of the type that the tool's schema states."""
    text = text.removeprefix("\n").removesuffix("\n")
    if wanted == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {"True": True, "False": False, "None": None}.get(text.strip(), text)


def _from_python(text: str, tools: OfferedTools) -> Iterator[WrittenCall]:
    code = re.sub(r"<[|｜][^<>]*>|```\w*|</?\w+>|\A\*{0,2}Action\*{0,2}:\*{0,2}", "", text).strip(
        "` \n"
    )
    if not _PYTHON.match(code) or len(code) > _CODE_SIZE:
        return
    try:
        body = ast.parse(code).body
        for statement in body:
            for call in _python_calls(getattr(statement, "value", None)):
                yield _of_python(call, tools)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return


def _python_calls(node: Any) -> Iterator[ast.Call]:
    if isinstance(node, ast.List | ast.Tuple):
        for element in node.elts:
            yield from _python_calls(element)
    elif isinstance(node, ast.Call):
        is_print = isinstance(node.func, ast.Name) and node.func.id == "print"
        yield from _python_calls(node.args[0]) if is_print and node.args else iter((node,))


def _of_python(call: ast.Call, tools: OfferedTools) -> WrittenCall:
    name = ast.unparse(call.func)
    values = [ast.literal_eval(value) for value in call.args]
    if len(values) == 1 and isinstance(values[0], dict) and not call.keywords:
        return WrittenCall(name, json.dumps(values[0]))
    known = tools.resolve(name) or tools.resolve(name.rpartition(".")[0]) or name
    if name.rpartition(".")[2] == "call":  # Llama's own tools
        name = known
    named = {key.arg or "": ast.literal_eval(key.value) for key in call.keywords}
    positional = dict(zip(tools.parameters(known), values, strict=False))
    return WrittenCall(name, json.dumps(positional | named))


def _from_json(text: str, tools: OfferedTools) -> Iterator[WrittenCall]:
    if "call:" in text:  # Gemma, which quotes with tokens and leaves keys bare
        text = _QUOTED.sub(lambda match: json.dumps(match[1] or match[2] or ""), text)
        text = _BARE_KEY.sub(r'\1"\2":', text).replace("call:", " ")
    place = after = failed = 0
    while (start := _next_bracket(text, place)) >= 0 and failed < _MOST_FAILED:
        try:
            value, place = _decode(text, start)
        except (ValueError, RecursionError):
            failed += 1
            if text[start] == "{" and not text.startswith("{{", start):
                yield from _of_flawed(text[start:], tools)
                return
            place = start + 1
            continue
        name = _name_before(text[after:start])
        after = place
        inner = [*_of_value(value, tools)] if is_call(value) else []
        if inner and (tools.resolve(inner[0].name) or not tools.resolve(name)):
            yield from inner
        elif name and isinstance(value, dict):
            yield WrittenCall(name, json.dumps(value))
        else:
            yield from _of_value(value, tools)


def _of_flawed(text: str, tools: OfferedTools) -> Iterator[WrittenCall]:
    """Reads a call in Python's quotes, or one that is whole but for its last brace."""
    try:
        if (end := JsonScanner().feed(text)) >= 0 and end <= _CODE_SIZE:
            yield from _of_value(ast.literal_eval(text[:end]), tools)
        elif (text := _TAG.sub("", text).rstrip()).endswith("}"):
            yield from _of_value(_decode(text + "}")[0], tools)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return


def _next_bracket(text: str, place: int) -> int:
    found = [at for at in (text.find("{", place), text.find("[", place)) if at >= 0]
    return min(found, default=-1)


def _name_before(text: str) -> str:
    """Returns the name in front of the arguments, whatever channel or number stands behind it."""
    if found := _NAMESPACED.findall(text):
        return str(found[-1])
    name = _NAME.search(_BESIDE_NAMES.sub(" ", text))
    return name[1] if name else ""


def _of_value(value: Any, tools: OfferedTools) -> Iterator[WrittenCall]:
    if isinstance(value, list):
        for one in value:
            yield from _of_value(one, tools)
    if not isinstance(value, dict):
        return
    for around in _AROUND:
        if isinstance(value.get(around), dict | list):
            yield from _of_value(value[around], tools)
            return
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    if name is None:  # Apertus writes {name: arguments}
        pairs = ((key, one) for key, one in value.items() if tools.resolve(key))
        yield from (WrittenCall(key, json.dumps(one)) for key, one in pairs)
        return
    arguments: Any = next((value[key] for key in _ARGUMENTS if key in value), None)
    if arguments is None:
        arguments = {k: v for k, v in value.items() if k not in {*_NAMES, *_BESIDE}}
    yield WrittenCall(name, arguments if isinstance(arguments, str) else json.dumps(arguments))


def _from_name(text: str, tools: OfferedTools) -> Iterator[WrittenCall]:
    text, is_without = _NO_INPUT.subn("", text)
    name = _BESIDE_NAMES.sub("", text).strip(" \n*`")
    is_closed = is_without or text.rstrip().endswith((">", "]"))
    if is_closed and len(name) <= _LONGEST_NAME and tools.resolve(name):
        yield WrittenCall(name, "{}")
