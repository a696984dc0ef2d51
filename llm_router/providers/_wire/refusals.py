"""Recognises in a server's refusal the change to the request that would cure it.

The table lists sentences, most of them about the order and form of messages; `refused_fields.py`
finds the fields that a sentence names. A server's sentence decides only which cure is tried;
whether it was one, the next answer shows.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from llm_router.classification import classify, lacking
from llm_router.errors import StatusError
from llm_router.failures import FailureClass
from llm_router.providers._wire.cures import Body, Cure, apply
from llm_router.providers._wire.refused_fields import (
    field_cures,
    named_paths,
    sentence_pattern,
    shorter_reply,
)

_REFUSALS = frozenset({0, 400, 404, 422, 500, 501})
"""Statuses of requests that a server does not take; chat templates fail with 500, and 0 is an error
inside a 200."""
_NOT_BY_STATUS = frozenset({404, 500, 501})
"""Statuses that say nothing of the request by themselves: only a known sentence counts."""
_NOT_SUPPORTED = re.compile(r"unsupported|(not|n't) support|no endpoints found", re.IGNORECASE)
_SEVERAL = re.compile(
    r"unknown name|extra inputs|extra_forbidden|unrecognized|is unsupported|unknown (field|param)",
    re.IGNORECASE,
)
"""Objections to one field each; a refusal with several of them names several fields."""
_OTHER_CAUSES = frozenset(
    {
        *(FailureClass.RATE_LIMITED, FailureClass.OUT_OF_CREDIT, FailureClass.REJECTED_KEY),
        *(FailureClass.REFUSED_CONTENT, FailureClass.TOO_LONG),
    }
)
_LONGEST = 2_000  # characters of an error that are read
_MOST = 4  # cures for one refusal

_ALTERNATE, _FOLD = Cure("alternate"), Cure("system in user")
_FIRST, _IN_WORDS = Cure("system first"), Cure("tools in words")
_USER_LAST, _PAIR = Cure("user last"), Cure("pair tools")
_NO_NULLS, _NO_EMPTIES, _TEXTS = Cure("no nulls"), Cure("no empties"), Cure("plain texts")
_NO_PICTURES = Cure("no pictures")

_NOT = (
    r"(not|n't|never|un)\W{0,3}(yet )?(be )?(currently )?"
    r"(supported|allowed|accepted|permitted|enabled|valid)"
)
_BY_SENTENCE: tuple[tuple[re.Pattern[str], tuple[Cure, ...]], ...] = (
    (sentence_pattern(r"thought.?signature"), (Cure("sign"),)),
    (
        # Gemini models that always think; "low" is the quickest that all of them take.
        sentence_pattern(r"budget 0 is invalid|only works in thinking mode"),
        (
            Cure("one of", "reasoning_effort", ("low", "minimal", "medium", "high")),
            Cure("drop", "reasoning_effort"),
        ),
    ),
    (
        sentence_pattern(r"thinking.?(budget|level).{0,40}(not|invalid)"),
        (Cure("drop", "reasoning_effort"),),
    ),
    (
        sentence_pattern(r"(not|n't) support thinking|invalid think value"),  # Ollama
        (Cure("drop", "think"), Cure("drop", "reasoning_effort")),
    ),
    (sentence_pattern(r"chat_template is not supported"), (Cure("drop", "chat_template_kwargs"),)),
    (
        sentence_pattern(r"penalty is not enabled"),  # Gemini
        (Cure("drop", "frequency_penalty"), Cure("drop", "presence_penalty")),
    ),
    (
        sentence_pattern(
            r"json mode.{0,60}(tool|function)|function calling with a response|"
            r"response.?format.{0,60}(together|combined|along) with .{0,12}(tool|function)|"
            r"(tool|function).{0,40}(not|n't|un)\W?(be )?(support|allow|combin|us).{0,40}"
            r"(json.?(mode|schema|output)|response.?format)"
        ),
        (Cure("json in words", beside="tools"), Cure("json in words")),
    ),
    (
        sentence_pattern(r"pattern must (start|end)|schema conversion failed"),  # llama.cpp
        (Cure("drop in schemas", "pattern"), Cure("drop in schemas", "format")),
    ),
    (
        sentence_pattern(r"non-?empty for OBJECT|properties.{0,40}non-?empty"),
        (Cure("no empty schemas"),),
    ),  # Gemini
    (
        # A history with calls, in a request that offers no tools.
        sentence_pattern(
            r"must define tools|toolConfig field must be defined|"
            r"without `?tools=?`? (param|being|specified)"
        ),
        (Cure("tools in words", without="tools"),),
    ),
    (
        sentence_pattern(
            r"reasoning_content.{0,80}(must be|pass(ed)? back|missing|required)|"
            r"missing.{0,30}reasoning_content"
        ),
        (Cure("reasoning"),),
    ),
    (
        sentence_pattern(
            r"a-z, A-Z, 0-9, with a length of 9|(tool.?call|tool.?use)[\w.\[\]]*\.?id\W.{0,80}"
            r"(too long|length|pattern|invalid)|tool_calls\[\d+\]\.id"
        ),
        (Cure("short ids"),),
    ),
    (
        # One role for the instructions, in a place that the template does not take.
        sentence_pattern(
            r"role.{0,20}developer.{0,40}(instead|use)|use.{0,20}developer.{0,20}(role|message)"
        ),
        (Cure("developer"), _FOLD),
    ),
    (
        sentence_pattern(
            r"system.{0,20}(message|prompt|role|instruction)s?.{0,60}"
            r"(beginning|be (the )?first|at the start|only (be )?(one|once|first|at)|leading|"
            r"position 0|index 0|start of)|"
            r"(only|at most|more than|exactly|one) .{0,12}system (message|prompt)|一条 ?system|"
            r"multiple system|several system|system messages .{0,30}(consecutive|in the middle)|"
            r"(first|initial) message .{0,30}system|unexpected role .?system|"
            r"role .?system.? (is )?(only|not) .{0,30}(first|beginning|after|here)"
        ),
        (_FIRST, _FOLD, _ALTERNATE),
    ),
    (
        sentence_pattern(
            rf"system.{{0,40}}(role|message|prompt|instruction)s?.{{0,30}}{_NOT}|"
            rf"(system|developer).{{0,20}}instruction.{{0,20}}{_NOT}|"
            r"(not|n't) support .{0,40}(system|developer)|no support for system|"
            r"(system|developer).{0,12}role.{0,12}(is )?(not|unsupported|unknown|invalid)|"
            r"(unknown|invalid|unsupported).{0,20}role.{0,12}(system|developer)|"
            r"unexpected (message )?role.{0,12}(system|developer)|"
            r"(system|developer).{0,4} is not (one of|in|a valid|among)"
        ),
        (_FOLD, _ALTERNATE),
    ),
    (
        sentence_pattern(
            r"only .{0,12}user.{0,30}assistant.{0,20}(role|supported|allowed)|"
            r"roles? .{0,20}(must|should) be .{0,30}user.{0,20}assistant"
        ),
        (_FOLD, _IN_WORDS, _ALTERNATE),
    ),
    (
        sentence_pattern(
            r"tool.{0,12}(result|response|call|message|use).{0,80}"
            r"(must (be )?(followed|follow|a response|have)|without|not (found|match)|preced|"
            r"immediately after|did not have|corresponding|missing)|"
            r"unexpected .?tool_use_id|not the same number of function calls|"
            r"function (call|response)( turn)?s? .{0,60}(immediately|equal|number)|"
            r"messages with role .?tool.? must|no tool call found|"
            r"unexpected role .?tool.? after|tool_call_id.{0,40}(not|unknown|invalid|missing)"
        ),
        (_PAIR, _ALTERNATE, _IN_WORDS),
    ),
    (
        sentence_pattern(
            r"alternat|(unexpected|invalid) role .?\w+.? after|"
            r"consecutive (user|assistant|messages)|2 or more assistant messages|"
            r"(same role|roles) .{0,30}(in a row|consecutive|twice)|"
            r"(first|1st|initial|start\w*|begin\w*).{0,80}\buser\b|"
            r"invalid_request_message_order|message order|order of (the )?(messages|roles)|"
            r"messages? ?参数(非法|错误|有误)"
        ),
        (_ALTERNATE, _FOLD, _IN_WORDS, _PAIR, _USER_LAST),
    ),
    (
        sentence_pattern(
            r"(last|final|latest).{0,40}(message|role|turn|content).{0,60}"
            r"(must|should|has to|need|expected|cannot|not|is|be|got)|expected last role|"
            r"(end|ends|ending) (with|in) .{0,20}(user|assistant)|"
            r"prefill|no user (query|message|prompt|turn|content)|without a user|"
            r"continue_final_message|add_generation_prompt|at least one (user )?(message|turn)|"
            r"contents? (is|are|field is) (not specified|required|empty)"
        ),
        (_USER_LAST, _ALTERNATE),
    ),
    (
        sentence_pattern(
            r"(tool|function).{0,12}role.{0,20}(is )?(not|unsupported|unknown|invalid)|"
            r"role.{0,12}(tool|function)\b.{0,40}(not|unsupported|unknown|invalid)|"
            r"(unknown variant|unexpected role|invalid role|unknown role|unsupported role)"
            r".{0,6}(tool|function)|.(tool|function).? is not one of|"
            r"(tool|function) messages? .{0,20}(not|unsupported)|"
            r"should be (['\"](user|assistant|system|developer)['\"],? ?(or )?){2,}(?!.{0,80}tool)"
        ),
        (_IN_WORDS, _ALTERNATE),
    ),
    (
        sentence_pattern(
            r"content.{0,60}(must|should|has to|can only|expected).{0,20}\b(string|str|text)\b|"
            r"concatenate str|(sequence|list|array|map).{0,30}expected a string|"
            r"expected (a )?(string|str)\b.{0,40}(list|array|sequence|object)|"
            r"valid string|not of type .?string|cannot unmarshal array .{0,120}string"
        ),
        (_NO_NULLS, _TEXTS, _NO_PICTURES),
    ),
    (
        sentence_pattern(
            r"content.{0,60}(non.?empty|not be empty|is empty|blank|whitespace|cannot be empty|"
            r"must have .{0,12}content)|empty (content|message|text)|non.?empty content|"
            r"text content blocks must"
        ),
        (_NO_EMPTIES, _NO_NULLS),
    ),
    (
        sentence_pattern(
            r"content.{0,80}(null|none|missing|required|nil|undefined)|nonetype|"
            r"(null|none|nil) .{0,40}content|missing .{0,20}content"
        ),
        (_NO_NULLS, _NO_EMPTIES),
    ),
    (
        sentence_pattern(r"temperature.{0,40}top_p.{0,40}(both|together|same time|either)"),
        (Cure("drop", "top_p", beside="temperature"),),
    ),
    (
        sentence_pattern(r"must contain the word .?json|word .?json.? in some form"),
        (Cure("say json"),),
    ),
    (
        sentence_pattern(
            r"(not|n't) support .{0,12}parallel (tool|function)|"
            r"parallel (tool|function).{0,12} (is|are) (not|un)"
        ),
        (
            Cure("drop", "parallel_tool_calls"),
            Cure("set", "parallel_tool_calls", value=False, beside="tools"),
        ),
    ),
    (
        sentence_pattern(r"(tool|function).{0,60} (in|with|while|when) stream"),  # Bedrock
        (Cure("all at once", beside="tools"),),
    ),
    (
        sentence_pattern(
            r"(not|n't) support .{0,12}stream|verified to stream|"
            r"streaming .{0,30}(not|unsupported)|stream.{0,12} (is )?not supported"
        ),
        (Cure("all at once"),),
    ),
    (
        sentence_pattern(r"(jinja|templat(?!e_kwargs)|raise_exception)"),
        (_FIRST, _ALTERNATE, _FOLD, _IN_WORDS, _TEXTS, _NO_NULLS, _NO_PICTURES),
    ),
    (
        sentence_pattern(r"(messages?|input)\W.{0,40}(extra|unknown|unexpected) .{0,20}role"),
        (_FOLD,),
    ),
)


def find_cures(error: StatusError, body: Body, tried: Collection[Cure]) -> Sequence[Cure]:
    """Returns changes of `body`, the refused request, that may cure it; usually one, or none.

    `tried`: the cures in that body, none of which is found again.
    """
    if error.status not in _REFUSALS or lacking(error):
        return ()
    said = f"{error.code} {error.kind} {error.detail}"[:_LONGEST]
    found = (
        cure
        for cure in _candidates(error, said, body)
        if cure not in tried and apply([cure], body) != body
    )
    several = len(_SEVERAL.findall(said)) > 1
    return list(dict.fromkeys(islice(found, _MOST if several else 1)))


def _candidates(error: StatusError, said: str, body: Body) -> Iterator[Cure]:
    yield from shorter_reply(said, body)
    if classify(error).kind in _OTHER_CAUSES:
        return
    for words, cures in _BY_SENTENCE:
        if words.search(said):
            yield from cures
    if error.status not in _NOT_BY_STATUS or _NOT_SUPPORTED.search(said):
        for path in named_paths(error, said, body):
            yield from field_cures(path, said, body)
