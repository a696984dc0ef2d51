"""Lists the words by which servers say what is wrong, one row for each class of failure."""

import re

from llm_router.failures import FailureClass


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_TOO_LONG = _words(
    r"context.?(length|window|size|limit|full|overflow)|context has overflow|"
    r"maximum (context|model length|prompt length)|"
    r"\b(prompt|input|request|message|payload|entity|conversation|history)s?[\W_].{0,40}"
    r"too.?(long|large|big)|"
    r"too many (input |prompt )?tokens|"
    r"exceed\w* .{0,40}(tokens|context|token limit)|token count (is \d+ but|.{0,20}exceed)|n_ctx|"
    r"tokens? .{0,40}exceed|exceed\w*_context|token.?limit.?exceeded|max_prompt_tokens_exceeded|"
    r"(prompt|input|sequence|messages?).{0,20}(length|tokens?)\)?.{0,60}"
    r"(exceed|(longer|larger|greater) than|(should|must) (not )?be (less|smaller|at most|no more))|"
    r"(prompt|input|messages?|history|payload size) (length )?exceeds|tokens?_limit_reached|"
    r"(supports|(input|prompt) of) at most \d+ tokens|(prompt|input) tokens?:? \d+ (tokens )?> |"
    r"tokens in (the )?prompt|prompt does not fit|oversized.?input|"
    r"longer than \d+ tokens|length of (the )?(messages|input|prompt)|"
    r"longer than .{0,20}(context|model)|"
    r"reduce (the|your) (length|message|prompt|input)|input length should be|"
    r"maximum allowed input|max input tokens|max_(input|seq|model)_len|expected maxlength|"
    r"max_(completion_)?tokens must be at least 1, got -|"  # vLLM, when nothing is left of it
    r"`?inputs`? (tokens \+ `?max_new_tokens`? must be|must have less than)|"
    r"超长|超出.{0,10}(长度|上下文|最大)|超(过|出).{0,20}(长度|上下文|限制|上限)|长度.{0,6}(超|过长)|(输入|提示词|内容)过长|"
    r"上下文.{0,4}(过长|超)|\b(1261|336007|336103)\b"  # codes of GLM and Baidu
)
"""A request that is longer than the model holds, in the words of all servers."""

_NO_ROUTE = _words(
    r"^\W*((40[45]|http|(resource |page |path |url |file )?(was )?not.?found(_error)?)\W*)+$|"
    r"not found: /|(tunnel|service|host|site|application) (.{0,60} )?not found|"
    r"page not found|method not allowed|cannot post\b|no (matching )?routes?\b|"
    r"no such (route|endpoint|path|url)|"
    r"(route|url|path|endpoint|resource).{0,60}(not found|not exist|not supported|unknown)|"
    r"(unknown|invalid|unexpected|unrecognized|unsupported).?(request )?(url|endpoint|route|path)|"
    r"default backend|requested url|err_ngrok|plain http request was sent to https|"
    r"http request to an https server"
)
"""There is no such route at this address, in the words of servers, frameworks and proxies."""

WAITS = " ; come back later"
"""Stands for a given wait: an account without credit is not asked to come back."""
INSIDE_200 = 0
BY_WORDS: tuple[tuple[FailureClass, frozenset[int], re.Pattern[str]], ...] = (
    # Servers disagree on the status for these classes, so their wording is matched first. The order
    # matters: a rate limit that mentions the billing page is still a rate limit.
    (
        FailureClass.REJECTED_KEY,  # OpenRouter and LiteLLM
        frozenset({404, 500}),
        _words(r"\bno auth credentials found|(^\S* \S* |: )authentication error, "),
    ),
    (
        # DashScope's limit by the minute, whose code is that of an empty account.
        FailureClass.RATE_LIMITED,
        frozenset({INSIDE_200, 403, 429}),
        _words(r"allocated quota exceeded|throttling\.allocationquota"),
    ),
    (
        FailureClass.OUT_OF_CREDIT,
        frozenset({INSIDE_200, 400, 402, 403, 412, 429}),
        _words(
            r"insufficient.{0,3}(quota|balance|credit|funds|account)|"
            r"balance is (insufficient|too low)|requires more credits|exceeded_current_quota_error|"
            r"billing.?(hard.?limit|not.?active)|"
            r"(credits?|balance) .{0,20}(exhausted|used up|run out|depleted)|out of .{0,20}quota|"
            r"used all .{0,12}credits|(spend|spending|monthly usage).{0,3}(limit|cap)|"
            r"arrearage|overdue|account is in good standing|account \S{0,60} ?is suspended|"
            r"(no|not have|n't have|without) (any |enough )?credits|key limit exceeded|"
            r"free.?tier .{0,30}(exhausted|used up|only)|setlimitexceeded|"
            r"reached the set .{0,12}limit|"
            r"余额不足|欠费|额度已用|额度不足"
        ),
    ),
    (
        FailureClass.RATE_LIMITED,
        frozenset({INSIDE_200, 400, 403, 429}),
        _words(r"rate.{0,3}limit|too.?many.?requests|throttl|请求过于频繁|速率限制|频率限制|限流"),
    ),
    (
        FailureClass.RATE_LIMITED,
        frozenset({INSIDE_200, 429}),
        _words(
            r"per.?(second|min(ute)?|hour|day)\b|\b[rt]p[mds]\b|(retry|try again) (in|after) \d"
        ),
    ),
    (
        FailureClass.OUT_OF_CREDIT,
        frozenset({INSIDE_200, 400, 403, 429}),
        _words(
            rf"(?s)^(?!.*{WAITS}$).*(credit balance|billing|payment|budget.{{0,12}}exceeded)",
        ),
    ),
    (
        # By a 403 too: Google and Azure report a quota of requests with it.
        FailureClass.RATE_LIMITED,
        frozenset({INSIDE_200, 403}),
        _words(r"quota.{0,20}exceed|exceed.{0,30}quota|quota_?exceeded|resource.?exhausted"),
    ),
    (
        # Not the request is too long, but the reply that it asks for.
        FailureClass.BAD_REQUEST,
        frozenset({400, 422}),
        _words(
            r"\bmax_\w*tokens\b(?!.*context).*\b(completion|output)\b|"
            r"^\W*(\w+ ){0,2}\W*max_\w*tokens\W{1,3}must be less than or equal to"  # Groq
        ),
    ),
    (FailureClass.TOO_LONG, frozenset({INSIDE_200, 400, 413, 422, 424, 500}), _TOO_LONG),
    (
        FailureClass.REFUSED_CONTENT,
        frozenset({INSIDE_200, 400, 403}),
        _words(
            r"content.?(filter|policy|management|exists.risk)|responsible.?ai|\bsafety\b|"
            r"safety_check|(usage|content) (polic|guideline)|considered high risk|"
            r"requires moderation|\bflagged\b|inappropriate content|"
            r"data_inspection_failed|new_sensitive|sensitive (content|information)|敏感|不安全"
        ),
    ),
    (
        # A router of models that has none with what the request needs, such as OpenRouter.
        FailureClass.BAD_REQUEST,
        frozenset({404}),
        _words(r"no (allowed|available)? ?(endpoints?|providers?) .{0,20}support"),
    ),
    (
        # LM Studio and NVIDIA: the model behind is away for now.
        FailureClass.OVERLOADED,
        frozenset({INSIDE_200, 400, 404}),
        _words(
            r"model (has )?(crashed|(been )?unloaded)|degraded function|"
            r"failed to load (the )?model"
            r"(?!.{0,120}(not found|not exist|no such|un(supported|known)))"
        ),
    ),
    (
        FailureClass.MODEL_MISSING,
        frozenset({404}),
        _words(r"\b(model|deployment|engine|adapter|lora)(s|id)?(\b|_)|DeploymentNotFound"),
    ),
    (FailureClass.WRONG_ADDRESS, frozenset({400, 404, 405}), _NO_ROUTE),
    (
        FailureClass.MODEL_MISSING,
        frozenset({INSIDE_200, 400, 403}),
        _words(
            r"on-demand throughput|real modelid|model_not_supported|not supported by any provider|"
            r"model.{0,60}(not.?found|not.?exist|decommissioned|no longer (supported|available))|"
            r"model_not_available|access to (the )?model|"
            r"(unknown|invalid|no such).?model|not a valid model|model identifier is invalid|"
            r"model id .{0,80}(not|n't) supported|模型不存在"
        ),
    ),
    (
        FailureClass.REJECTED_KEY,
        frozenset({INSIDE_200, 400}),
        _words(
            r"(invalid|incorrect|expired).{0,12}api.?key|"
            r"api.?key.{0,12}(not valid|invalid|expired|missing)|"
            r"\b(authentication.?error|unauthorized|unauthenticated)\b|"
            r"auth(entication|orization)? (header|credentials)|the security token included|"
            r"invalid (access|bearer|auth\w*) token|api secret key|"
            r"no.?connected.?db"  # LiteLLM's proxy without a database of keys
        ),
    ),
    (
        # By a 429 too: Mistral, Moonshot and TGI report their own load with it, not our limit.
        FailureClass.OVERLOADED,
        frozenset({INSIDE_200, 429}),
        _words(r"overload|capacity|queue.{0,20}full|unavailable"),
    ),
)

ABILITIES = _words(
    r"support|\bmodel\b|param|unrecognized|unknown (field|name)|extra (inputs|fields)|"
    r"not (allowed|permitted)|enable|tool|function|image|picture|vision|audio|modalit|template|"
    r"\broles?\b|system message|alternat|temperature|top_p|response_format|json|schema|"
    r"reasoning|thinking|prefill|max_\w*tokens|stream_options"
)
"""Abilities that one model or one set-up of a server has and another has not."""
