"""The failure class of each error. The texts are those of real servers, shortened."""

import pytest

from llm_router.classification import classify
from llm_router.errors import BrokenStreamError, StatusError, UnreachableError
from llm_router.failures import ADVICE, CONSEQUENCES, Failure, FailureClass


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        # A redirect that is not followed: the server is well, and base_url is wrong.
        (301, FailureClass.WRONG_ADDRESS),
        (308, FailureClass.WRONG_ADDRESS),
        (400, FailureClass.BAD_REQUEST),
        (401, FailureClass.REJECTED_KEY),
        (402, FailureClass.OUT_OF_CREDIT),
        (403, FailureClass.REJECTED_KEY),
        (404, FailureClass.MODEL_MISSING),
        (405, FailureClass.WRONG_ADDRESS),
        (408, FailureClass.OVERLOADED),
        (413, FailureClass.TOO_LONG),
        (418, FailureClass.BAD_REQUEST),
        (422, FailureClass.BAD_REQUEST),
        (429, FailureClass.RATE_LIMITED),
        (500, FailureClass.OVERLOADED),
        (502, FailureClass.OVERLOADED),
        (503, FailureClass.OVERLOADED),
        (529, FailureClass.OVERLOADED),
        (0, FailureClass.BROKEN_STREAM),
    ],
)
def test_a_status_alone_is_enough(status: int, kind: FailureClass) -> None:
    assert classify(StatusError(status)).kind is kind


TOO_LONG = [
    # OpenAI, Azure, DeepSeek, OpenRouter, vLLM of old
    (400, "This model's maximum context length is 6048 tokens. However, you requested 6616 tokens"),
    (400, "Your input exceeds the context window of this model."),
    (400, "Invalid 'messages[1].content': string too long. Expected a maximum length of 1048576"),
    # vLLM
    (400, "'max_tokens' is too large: 2000. This model's maximum context length is 4096 tokens"),
    (400, "The decoder prompt (length 2136) is longer than the maximum model length of 2048."),
    (500, "The decoder prompt (length 66501) is longer than the maximum model length of 65536."),
    # SGLang
    (400, "The input (9000 tokens) is longer than the model's context length (4096 tokens)."),
    # llama.cpp, llama-cpp-python, LM Studio, Ollama
    (400, "the request exceeds the available context size, try increasing it"),
    (500, "Context size has been exceeded."),
    (500, "slot unavailable, n_ctx too small"),
    (500, "Requested tokens (5000) exceed context window of 2048"),
    (400, "The number of tokens to keep is greater than the context length."),
    (400, "the input length exceeds the context length"),
    # TGI
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096."),
    (422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 3000"),
    (0, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 1887"),
    # Anthropic, by itself and through LiteLLM; Bedrock
    (400, "prompt is too long: 213462 tokens > 200000 maximum"),
    (400, "input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000"),
    (400, "litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicException"),
    (400, "Input is too long for requested model."),
    # Gemini, xAI, Groq, Cerebras, Mistral, Moonshot, MiniMax, Qwen, Copilot
    (400, "The input token count (1196265) exceeds the maximum number of tokens allowed."),
    (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
    (400, "Please reduce the length of the messages or completion."),
    (413, "Request too large for model `llama-3.1-8b-instant` on tokens per minute (TPM)"),
    (400, "Please reduce the length of the messages. Current length is 9000 while limit is 8192"),
    (400, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    (400, "Your request exceeded model token limit: 8192 (requested: 9000)"),
    (400, "invalid params, context window exceeds limit"),
    (400, "Range of input length should be [1, 30720]"),
    (400, "prompt token count of 70000 exceeds the limit of 64000"),
    # The same servers, in later or earlier words
    (400, "Input tokens exceed the configured limit of 272000 tokens. Yours resulted in 300100."),
    (400, "max_tokens must be at least 1, got -953."),
    (400, "max_completion_tokens must be at least 1, got -12 (parameter=max_completion_tokens)"),
    (400, "The prompt (total length 25938) is too long to fit into the model (length 4096)."),
    (400, "Input length (163842 tokens) exceeds the maximum allowed length (163835 tokens)."),
    (400, "Requested token count exceeds the model's maximum context length of 8192 tokens."),
    (400, "The prompt has 9000 tokens, but the configured context size is 4096 tokens."),
    (400, "prompt too long; exceeded max context length by 12 tokens"),
    (400, "request (4390 tokens) exceeds the available context size (4096 tokens)"),
    (400, "maximum allowed input length of 8192 tokens"),
    (400, "Too many input tokens. Max input tokens: 8192, request input token count: 9279"),
    (400, "Malformed input request: expected maxLength: 50000, actual: 52611, please reformat"),
    (400, "the number of input tokens 5000 cannot exceed the total tokens limit 4096"),
    (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081"),
    (400, "Prompt exceeds max length"),
    (400, "the length of messages should be less than or equal to 20480 characters"),
    (400, "the max input length exceeded, prompt tokens too long"),
    (500, "Encountered an error: Prompt length (200) exceeds maximum input length (128)"),
    (400, "Cannot process it: Prompt length (5056) exceeds maximum sequence length (2048)"),
    (400, "The sum of prompt length (9000.0), query length (0) should not exceed max_num_tokens"),
    (413, "Payload Too Large"),
    (413, "Request Entity Too Large"),
    (400, "Your prompt is longer than the model can take: the model takes 8192 tokens"),
    (400, "Prompt has 4000 tokens, which exceeds the model limit of 2048"),
    (400, "The context has overflowed"),
    (400, "Prompt length 9000 is greater than max_seq_len 8192"),
    (400, "Prompt length 9000 is greater than the maximum 8192"),
    (400, "Requested input length 40000 exceeds maximum input length 32767"),
    (400, "Input length(8200) exceeds session_len 8192"),
    (400, "Total tokens of image and text exceed max message tokens."),
    (400, "the input token count is 1200000 but model only supports up to 1048576. Reduce it"),
    (400, "Request payload size exceeds the limit: 20971520 bytes."),
    (400, "Request body too large for gpt-4o model. Max size: 8000 tokens."),
    (424, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096."),
    (400, "max tokens of 4096 exceeded"),
    (400, "Conversation is too long"),
    (400, "The conversation history exceeds the limit of the model"),
    (400, "input_tokens (9000) + max_tokens (512) > max_model_len (8192)"),
    (400, "This model supports at most 8192 tokens. You requested 9000 tokens"),
    (400, "Number of tokens in prompt (9000) larger than maximum (8192)"),
    (500, "input is too large to process. increase the physical batch size"),
    (422, "messages: Input is longer than 4096 tokens"),
    (400, "InvalidParameter.OversizedInput"),
    (400, "tokens_limit_reached"),
    (400, "tokens数量超过上限"),
    (400, "token总数超出限制"),
    (400, "您输入的内容过长，请缩短后重试"),
    (400, "Prompt 超长"),
    (400, "输入超出模型最大上下文长度"),
    (400, "输入内容长度超过限制"),
    (400, "prompt长度过长"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "said"), TOO_LONG)
def test_a_request_that_is_too_long_is_recognised_in_every_servers_words(
    status: int, said: str
) -> None:
    error = StatusError(status, kind="invalid_request_error", detail=said)
    assert classify(error).kind is FailureClass.TOO_LONG


@pytest.mark.parametrize(
    "code",
    [
        *("context_length_exceeded", "exceed_context_size_error", "model_context_window_exceeded"),
        *("1261", "336007", "336103", "model_max_prompt_tokens_exceeded"),
        *("request_too_large", "input_too_long", "ContextWindowExceededError"),
    ],
)
def test_a_request_that_is_too_long_is_recognised_by_its_code(code: str) -> None:
    assert classify(StatusError(400, code=code)).kind is FailureClass.TOO_LONG
    assert classify(StatusError(400, kind=code)).kind is FailureClass.TOO_LONG


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (429, "insufficient_quota", "You exceeded your current quota, please check your plan"),
        (429, "", "You exceeded your current quota, please check your plan and billing details."),
        (429, "billing_not_active", "Your account is not active, please check your billing"),
        (400, "billing_hard_limit_reached", "Billing hard limit has been reached"),
        (400, "", "Your credit balance is too low to access the Anthropic API."),
        (402, "", "Insufficient credits. Add more using https://openrouter.ai/credits"),
        (402, "", "Insufficient Balance"),
        (400, "budget_exceeded", "Budget has been exceeded! Current cost: 20, Max budget: 10"),
        (403, "", "insufficient_funds"),
        (0, "insufficient_quota", ""),
        (429, "", "Your team has either used all available credits or reached its spending limit."),
        (429, "", "Your prepayment credits are depleted."),
        (403, "", "Out of call volume quota. Quota will be replenished in 12 days"),
        (400, "Arrearage", "Access denied, make sure your account is in good standing."),
        (429, "exceeded_current_quota_error", "Your account is suspended, check your billing"),
        (429, "1113", "您的账户余额不足，请充值"),
        (403, "", "This request requires more credits, or fewer max_tokens."),
        (400, "", "Your account balance is insufficient"),
        (429, "exceeded_current_quota_error", ""),
        (403, "", "Your newly created team doesn't have any credits yet."),
        (403, "AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted."),
        (403, "403", "Key limit exceeded (total limit). Manage it in your settings"),
        (412, "", "Account acme-1 is suspended, possibly due to reaching the spending limit"),
        (429, "SetLimitExceeded", "Your account has reached the set inference limit"),
    ],
)
def test_an_empty_account_is_recognised_whatever_the_status(
    status: int, code: str, said: str
) -> None:
    error = StatusError(status, code=code, detail=said)
    assert classify(error).kind is FailureClass.OUT_OF_CREDIT


GROQ = """Rate limit reached for model `llama-3.3-70b-versatile` on tokens per minute (TPM):
 Limit 6000, Used 5034, Requested 1443. Please try again in 4.77s. Need more tokens?
 Upgrade to Dev Tier today at https://console.groq.com/settings/billing"""
OPENAI = """Rate limit reached for gpt-4 on requests per min. Limit: 3. Please add a payment method
 to your account: https://platform.openai.com/account/billing"""
GEMINI = """You exceeded your current quota, please check your plan and billing details. For more
 information head to: https://ai.google.dev/gemini-api/docs. Please retry in 38.863719904s."""


@pytest.mark.parametrize(
    ("status", "said"),
    [
        *((429, GROQ), (429, OPENAI), (429, GEMINI)),
        (429, "Requests have exceeded token rate limit of your current OpenAI S0 pricing tier."),
        (429, "Resource has been exhausted (e.g. check quota)."),
        (0, "Rate limit exceeded: 60000 tokens per minute"),
        (403, "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'"),
        (429, "Quota exceeded for aiplatform.googleapis.com/online_requests per minute per region"),
        (429, "You exceeded your current quota: RPM limit reached"),
        (400, "ThrottlingException: Too many requests, please wait before trying again."),
        (403, "Rate limit of this key reached"),
        (429, "当前请求过于频繁，请稍后再试"),
        (0, "Too many requests"),
        (429, "insufficient_quota: Allocated quota exceeded, please increase your quota limit."),
    ],
)
def test_a_rate_limit_that_mentions_billing_is_still_a_rate_limit(status: int, said: str) -> None:
    error = StatusError(status, kind="tokens", detail=said)
    assert classify(error).kind is FailureClass.RATE_LIMITED


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (
            404,
            "model_not_found",
            "The model `gpt-9` does not exist or you do not have access to it.",
        ),
        (403, "model_not_found", "Project `proj_1` does not have access to model `gpt-9`"),
        (404, "", "model 'llama9' not found"),
        (404, "DeploymentNotFound", "The API deployment for this resource does not exist."),
        (400, "", "/chat/completions: Invalid model name passed in model=gpt-9."),
        (400, "1500", "Invalid model: mistral-enormous"),
        (400, "invalid_request_error", "Model Not Exist"),
        (400, "400", "acme/chat-9 is not a valid model ID"),
        (400, "model_decommissioned", "The model `mixtral-8x7b-32768` has been decommissioned"),
        (403, "", "You don't have access to the model with the specified model ID."),
        (0, "model_not_found", ""),
        (400, "", "The provided model identifier is invalid."),
        (400, "", "could not find real modelID for acme"),
        (400, "model_not_supported", "The requested model 'a/b' is not supported by any provider"),
        (400, "", "Invocation of model ID acme.chat-9 with on-demand throughput isn't supported."),
        (410, "", "The model 'acme/chat-9' has reached its end of life on 2025-09-25"),
    ],
)
def test_a_missing_model_is_recognised_whatever_the_status(
    status: int, code: str, said: str
) -> None:
    error = StatusError(status, code=code, detail=said)
    assert classify(error).kind is FailureClass.MODEL_MISSING


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "Not Found"),  # FastAPI, nginx
        (404, "404 page not found"),  # Go
        (404, "404 Not Found. Not Found"),
        (404, "404: Not Found"),
        (404, "File Not Found"),  # llama.cpp
        (404, "Resource not found"),  # Azure
        (404, "Cannot POST /v1/chat/completions"),  # Express
        (404, "Route POST:/v1/chat/completions not found"),  # Fastify
        (404, "no Route matched with those values"),  # Kong
        (404, "Invalid URL (POST /v1/v1/chat/completions)"),  # OpenAI
        (404, "Unknown request URL: POST /openai/chat/completions. Please check the URL"),  # Groq
        (404, "The requested URL /v1/chat/completions was not found on this server."),  # Apache
        (404, "Unexpected endpoint or method. (POST /chat/completions)"),  # LM Studio
        (404, "Not Found: /v1/chat/completions"),  # Django
        (404, "tunnel abc.example not found"),
        (404, "Service not found"),
        (404, "default backend - 404"),  # Kubernetes
        (404, "The endpoint abc.ngrok.app is offline. ERR_NGROK_3200"),
        (405, "Method Not Allowed"),  # Open WebUI
        (405, "whatever"),
        (400, "The plain HTTP request was sent to HTTPS port"),  # nginx
        (400, "Client sent an HTTP request to an HTTPS server."),  # Go
    ],
)
def test_a_missing_route_is_no_missing_model(status: int, said: str) -> None:
    failure = classify(StatusError(status, detail=said))
    assert failure.kind is FailureClass.WRONG_ADDRESS
    assert "base_url" in failure.advice


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, "content_filter", "The prompt triggered Azure OpenAI's content management policy"),
        (400, "content_policy_violation", "Your request was rejected by our safety system"),
        (400, "invalid_prompt", "Your prompt was flagged as violating our usage policy."),
        (403, "403", 'openai/gpt-9 requires moderation. Your input was flagged for "violence"'),
        (400, "invalid_request_error", "Content Exists Risk"),
        (400, "data_inspection_failed", "Input data may contain inappropriate content."),
        (400, "400", "litellm.ContentPolicyViolationError: AzureException"),
        (0, "content_filter", ""),
        (403, "", "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"),
        (400, "", "The request was rejected because it was considered high risk"),
    ],
)
def test_refused_content_closes_no_connection(status: int, code: str, said: str) -> None:
    failure = classify(StatusError(status, code=code, detail=said))
    assert failure.kind is FailureClass.REFUSED_CONTENT
    assert failure.consequence.breaker == "never"


@pytest.mark.parametrize(
    "said",
    [
        "Unknown parameter: 'safety_identifier'.",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
        "Invalid 'tools[0].function.name': string too long. Expected a maximum length of 64",
        "registry.ollama.ai/library/gemma:2b does not support tools",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "This model's temperature must be between 0 and 2",
        "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens",
        "max_tokens must be less than or equal to 8192",
        "Invalid 'tools': array too long. Expected an array with maximum length 128",
        "too many images: at most 5 images may be provided in one request",
        "image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes",
        "temperature exceeds the limit of 1",
        "Invalid max_tokens value, the valid range of output tokens is [1, 8192]",
    ],
)
def test_a_request_that_one_kind_of_server_cannot_take_is_a_bad_request(said: str) -> None:
    error = StatusError(400, kind="invalid_request_error", detail=said)
    assert classify(error).kind is FailureClass.BAD_REQUEST


@pytest.mark.parametrize(
    ("said", "lacks"),
    [
        ("This model does not support image input", "images"),
        ("No endpoints found that support image input", "images"),
        ("At most 0 image(s) may be provided in one request.", "images"),
        ("Failed to deserialize the JSON body: unknown variant `image_url`", "images"),
        ("gemma3:4b does not support tools", "tools"),
        ('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser', "tools"),
        ("Function calling is not enabled for models/gemma-3", "tools"),
    ],
)
def test_what_a_model_cannot_do_at_all_is_recognised(said: str, lacks: str) -> None:
    assert classify(StatusError(400, detail=said)).lacks == lacks


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("invalid_image_url", "Failed to download image from https://a.example/b.png."),
        ("invalid_image_format", "You uploaded an unsupported image."),
        ("", "Invalid image_url: the URL must be a valid http(s) or data URL"),
        ("", "Invalid 'messages[0].content[1].image_url': unsupported MIME type 'text/plain'."),
        ("", "This model does not support more than 5 images"),
        ("", "image format is not supported: image/tiff"),
        ("", "Invalid image_url: failed to load image"),
        ("1210", "图片输入格式/解析错误"),
        ("", "This model does not support parallel tool calls"),
        ("", "This model doesn't support tool use in streaming mode."),
        ("", "This model does not support tools with stream=true"),
        ("", "function calling is not supported together with JSON mode"),
    ],
)
def test_one_picture_or_use_of_tools_that_is_refused_says_nothing_of_others(
    code: str, said: str
) -> None:
    failure = classify(StatusError(400, code=code, detail=said))
    tools = "function" in said or "tool" in said
    assert (failure.lacks, failure.refuses) == ("", "tools" if tools else "images")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Overloaded", FailureClass.OVERLOADED),
        ("The request queue is full", FailureClass.OVERLOADED),
        ("Service unavailable", FailureClass.OVERLOADED),
        ("EngineCore encountered an issue", FailureClass.BROKEN_STREAM),
    ],
)
def test_an_error_inside_a_200_is_recognised_by_its_words(said: str, kind: FailureClass) -> None:
    assert classify(StatusError(0, detail=said)).kind is kind


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        ("429", "Provider returned error", FailureClass.RATE_LIMITED),
        ("502", "Provider disconnected", FailureClass.OVERLOADED),
        ("400", "Provider returned error", FailureClass.BAD_REQUEST),
        ("500", "Requested tokens (5000) exceed context window of 2048", FailureClass.TOO_LONG),
        ("401", "User not found.", FailureClass.REJECTED_KEY),
        ("1", "engine died", FailureClass.BROKEN_STREAM),
        ("99999", "engine died", FailureClass.BROKEN_STREAM),
        ("²", "engine died", FailureClass.BROKEN_STREAM),
        ("rate_limit_exceeded", "", FailureClass.RATE_LIMITED),
        ("insufficient_quota", "", FailureClass.OUT_OF_CREDIT),
        ("invalid_api_key", "", FailureClass.REJECTED_KEY),
        ("model_not_found", "", FailureClass.MODEL_MISSING),
        ("overloaded_error", "", FailureClass.OVERLOADED),
        ("server_error", "", FailureClass.BROKEN_STREAM),
    ],
)
def test_an_error_inside_a_200_is_recognised_by_its_code(
    code: str, said: str, kind: FailureClass
) -> None:
    assert classify(StatusError(0, code=code, detail=said)).kind is kind


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "The model has crashed without additional information. (Exit code: 6)"),
        (400, "Model unloaded."),
        (400, 'Failed to load model "acme". Error: insufficient system resources'),
        (400, "Function id 'x': DEGRADED function cannot be invoked"),
    ],
)
def test_a_model_that_is_away_for_now_counts_against_its_server(status: int, said: str) -> None:
    assert classify(StatusError(status, detail=said)).kind is FailureClass.OVERLOADED


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "Model is overloaded"),  # TGI
        ("", "The engine is currently overloaded, please try again later"),  # Moonshot
        ("3505", "Service tier capacity exceeded for this model."),  # Mistral
    ],
)
def test_a_429_about_the_servers_own_load_counts_against_it(code: str, said: str) -> None:
    assert classify(StatusError(429, code=code, detail=said)).kind is FailureClass.OVERLOADED


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("400", "API key not valid. Please pass a valid API key."),  # Gemini
        ("", "Incorrect API key provided"),  # xAI
        ("400", "No connected db."),  # LiteLLM's proxy
        ("400", "Multiple authentication credentials received. Please pass only one."),
        ("", "Missing Authentication header"),
        ("ExpiredTokenException", "The security token included in the request is expired"),
        ("1004", "login fail: Please carry the API secret key in the field of the header"),
    ],
)
def test_a_rejected_key_is_recognised_behind_a_400(code: str, said: str) -> None:
    assert classify(StatusError(400, code=code, detail=said)).kind is FailureClass.REJECTED_KEY


@pytest.mark.parametrize(
    ("status", "code", "said", "kind"),
    [
        (404, "401", "No auth credentials found", FailureClass.REJECTED_KEY),
        (500, "401", "Authentication Error, Invalid proxy token", FailureClass.REJECTED_KEY),
        (500, "500", "template failed at: my api key is not valid", FailureClass.OVERLOADED),
        (400, "400", "Invalid token in the grammar", FailureClass.BAD_REQUEST),
    ],
)
def test_a_rejected_key_behind_another_status_has_its_own_sentence(
    status: int, code: str, said: str, kind: FailureClass
) -> None:
    assert classify(StatusError(status, code=code, detail=said)).kind is kind


@pytest.mark.parametrize("status", [408, 409, 424, 425, 498, 499])
def test_what_passes_by_itself_is_no_fault_of_the_request(status: int) -> None:
    assert classify(StatusError(status)).kind is FailureClass.OVERLOADED


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnreachableError("refused"), FailureClass.UNREACHABLE),
        (BrokenStreamError("reset"), FailureClass.BROKEN_STREAM),
        (ZeroDivisionError("ours"), FailureClass.BUG),
    ],
)
def test_other_errors_are_recognised_by_their_type(error: Exception, kind: FailureClass) -> None:
    assert classify(error).kind is kind


def test_an_account_that_may_come_back_is_not_out_of_credit() -> None:
    """Gemini's sentence is the same for both; only its RetryInfo tells them apart."""
    said = "You exceeded your current quota, please check your plan and billing details."
    error = StatusError(429, kind="RESOURCE_EXHAUSTED", detail=said, retry_after=34.0)
    assert classify(error).kind is FailureClass.RATE_LIMITED
    overloaded = StatusError(429, detail="Model is overloaded", retry_after=1.0)
    assert classify(overloaded).kind is FailureClass.OVERLOADED


def test_a_router_without_an_able_model_is_asked_wrongly() -> None:
    error = StatusError(404, code="404", detail="No endpoints found that support tool use.")
    assert classify(error).kind is FailureClass.BAD_REQUEST


def test_retry_after_is_part_of_the_failure() -> None:
    assert classify(StatusError(429, retry_after=2.5)).retry_after == 2.5
    assert classify(StatusError(503, retry_after=30.0)).retry_after == 30.0


def test_a_failure_shows_neither_a_servers_message_nor_a_bugs() -> None:
    shown = str(classify(StatusError(400, detail="you said: my card is 4111")))
    shown += str(classify(ValueError("my card is 4111")))
    assert "4111" not in shown
    assert "ValueError" in shown


def test_every_class_has_its_consequence() -> None:
    assert set(CONSEQUENCES) == set(FailureClass)


def test_advice_is_given_where_a_person_can_act() -> None:
    assert str(Failure(FailureClass.REJECTED_KEY, "HTTP 401")).endswith(": check api_key")
    assert str(Failure(FailureClass.EMPTY, "nothing came")) == "empty (nothing came)"
    alerting = {kind for kind, consequence in CONSEQUENCES.items() if consequence.tell_operator}
    assert alerting <= set(ADVICE), "an operator who is alerted learns the remedy"


@pytest.mark.parametrize("kind", FailureClass)
def test_the_table_of_consequences(kind: FailureClass) -> None:
    """Repeats the table, so that a change to it is deliberate."""
    callers_own = {FailureClass.TOO_LONG, FailureClass.BAD_REQUEST, FailureClass.REFUSED_CONTENT}
    until_changed = {FailureClass.REJECTED_KEY, FailureClass.MODEL_MISSING}
    consequence = CONSEQUENCES[kind]
    if kind in callers_own or kind is FailureClass.CANCELLED:
        assert consequence.breaker == "never"
        assert consequence.next != "any"
    elif kind in until_changed:
        assert consequence.breaker == "opens until changed"
    elif kind is FailureClass.LOADING:
        assert (consequence.next, consequence.breaker) == ("any", "never")
    elif kind in {FailureClass.OUT_OF_CREDIT, FailureClass.WRONG_ADDRESS}:
        assert consequence.breaker == "opens long"
    elif kind is FailureClass.RATE_LIMITED:
        assert consequence.breaker == "rests"
    else:
        assert (consequence.next, consequence.breaker) == ("any", "counts")
