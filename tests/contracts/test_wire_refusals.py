"""Tests that a refusal which one changed request would cure is answered with that request.

The sentences are those of servers in use; each row is a server that refuses until its condition
holds.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_router.providers._wire.adaptation import Adaptation
from llm_router.providers._wire.errors import status_error
from llm_router.providers.base import Noticing
from llm_router.testing.server import Fault, Script
from llm_router.types import ChatRequest
from tests.contracts.wire import SECRET_WORDS, TEXT, read, serve, text

Body = dict[str, Any]
Accepts = Callable[[Body], bool]

SYSTEM = {"role": "system", "content": "You answer the phone."}
USER = {"role": "user", "content": "Open?"}
SAID = {"role": "assistant", "content": "Hello."}
LATE = {"role": "system", "content": "Offer help."}
CALL = {"id": "call_abc_123", "type": "function", "function": {"name": "hours", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_abc_123", "content": "9 to 5"}
SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "title": "T",
          "additionalProperties": False}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "hours", "strict": True, "parameters": SCHEMA}}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "t", "schema": SCHEMA}}


def body(*messages: Body, **fields: Any) -> Body:
    return {"model": "m", "stream": True, "messages": [*(messages or (USER,))], **fields}


def said(message: str, status: int = 400, **fields: Any) -> tuple[int, Any]:
    return status, {"error": {"message": message, **fields}}


def without(field: str) -> Accepts:
    return lambda sent: field not in sent


def asked(original: Body, refusal: tuple[int, Any], accepts: Accepts) -> Body:
    """Returns the body that the server accepts; fails if none comes to it."""
    question = Adaptation("box").question(original)
    while not accepts(question.body):
        assert question.may_ask_again(status_error(*refusal)), question.body
    return question.body


# ── Fields ───────────────────────────────────────────────────────────────────────────────────────

_FIELDS: dict[str, tuple[Body, tuple[int, Any], Accepts]] = {
    "OpenAI, a temperature": (
        body(temperature=0.2),
        said("Unsupported value: 'temperature' does not support 0.2 with this model. Only the"
             " default (1) value is supported.", param="temperature", code="unsupported_value"),
        without("temperature"),
    ),
    "OpenAI, a parameter": (
        body(top_p=0.2),
        said("Unsupported parameter: 'top_p' is not supported with this model.", param="top_p"),
        without("top_p"),
    ),
    "OpenAI, the newer name": (
        body(max_tokens=100),
        said("Unsupported parameter: 'max_tokens' is not supported with this model. Use"
             " 'max_completion_tokens' instead.", param="max_tokens"),
        lambda sent: sent.get("max_completion_tokens") == 100 and "max_tokens" not in sent,
    ),
    "an older server, the older name": (
        body(max_completion_tokens=100),
        said("Unrecognized request argument supplied: max_completion_tokens"),
        lambda sent: sent.get("max_tokens") == 100 and "max_completion_tokens" not in sent,
    ),
    "OpenAI, a longer reply than the model's": (
        body(max_tokens=100_000),
        said("max_tokens is too large: 100000. This model supports at most 16384 completion"
             " tokens, whereas you provided 100000.", param="max_tokens"),
        lambda sent: sent.get("max_tokens") == 16384,
    ),
    "DeepSeek, a range": (
        body(max_tokens=9000),
        said("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
        lambda sent: sent.get("max_tokens") == 8192,
    ),
    "OpenAI, too few": (
        body(max_tokens=1),
        said("Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 1"
             " instead.", param="max_tokens", code="integer_below_min_value"),
        lambda sent: sent.get("max_tokens") == 16,
    ),
    "vLLM, a reply that leaves no room for the prompt": (
        body(max_tokens=4096),
        said("'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum"
             " context length is 4096 tokens and your request has 20 input tokens"),
        without("max_tokens"),
    ),
    "Groq, efforts": (
        body(reasoning_effort="low"),
        said("`reasoning_effort` must be one of `none` or `default`"),
        lambda sent: sent.get("reasoning_effort") == "none",
    ),
    "OpenAI, listed efforts": (
        body(reasoning_effort="none"),
        said("Unsupported value: 'none' is not supported with the 'gpt-5.1-codex' model. Supported"
             " values are: 'low', 'medium', and 'high'.", param="reasoning_effort"),
        lambda sent: sent.get("reasoning_effort") == "low",
    ),
    "xAI, in camel case": (
        body(reasoning_effort="low"),
        said("Model grok-4-0709 does not support parameter reasoningEffort."),
        without("reasoning_effort"),
    ),
    "xAI, a word of English": (
        body(stop=["."]),
        said("Argument not supported on this model: 'stop'"),
        without("stop"),
    ),
    "Mistral, a forbidden field": (
        body(parallel_tool_calls=True),
        (422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc":
            ["body", "parallel_tool_calls"], "msg": "Extra inputs are not permitted"}]}}),
        without("parallel_tool_calls"),
    ),
    "Mistral, a field of a message": (
        body({**USER, "name": "Ann"}),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 0, "user",
            "name"], "msg": "Extra inputs are not permitted"}]}),
        lambda sent: "name" not in sent["messages"][0],
    ),
    "Groq, a field of a message": (
        body(USER, {**SAID, "reasoning_content": "Hm."}, USER),
        said("'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' :"
             " property 'reasoning_content' is unsupported)]"),
        lambda sent: all("reasoning_content" not in m for m in sent["messages"]),
    ),
    "Cerebras, a property": (
        body(logprobs=True),
        said("body.logprobs: property 'body.logprobs' is unsupported", 422),
        without("logprobs"),
    ),
    "Gemini, several unknown names": (
        body(seed=1, frequency_penalty=1, reasoning={}, top_k=3),
        (400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
            'Invalid JSON payload received. Unknown name "seed": Cannot find field.\n'
            'Invalid JSON payload received. Unknown name "frequency_penalty": Cannot find field.'
            '\nInvalid JSON payload received. Unknown name "reasoning": Cannot find field.\n'
            'Invalid JSON payload received. Unknown name "top_k": Cannot find field.'}}]),
        lambda sent: sent.keys() == {"model", "stream", "messages"},
    ),
    "Gemini, a schema": (
        body(tools=[TOOL]),
        said('Invalid JSON payload received. Unknown name "additionalProperties" at'
             " 'tools[0].function_declarations[0].parameters': Cannot find field."),
        lambda sent: "additionalProperties" not in json.dumps(sent["tools"]),
    ),
    "a strict tool": (
        body(tools=[TOOL]),
        said("tools.0.function.strict: Extra inputs are not permitted", 422),
        lambda sent: "strict" not in sent["tools"][0]["function"],
    ),
    "a title of a schema, not a property of that name": (
        body(tools=[TOOL]),
        said("Unknown name \"title\" at 'tools[0].function.parameters'"),
        lambda sent: "title" not in sent["tools"][0]["function"]["parameters"]
        and "title" in sent["tools"][0]["function"]["parameters"]["properties"],
    ),
    "serde, an unknown field": (
        body(seed=1), said("unknown field `seed`, expected one of `model`, `messages`", 422),
        without("seed"),
    ),
    "Bedrock, an extraneous key": (
        body(frequency_penalty=1),
        said("#: extraneous key [frequency_penalty] is not permitted, please reformat your input"),
        without("frequency_penalty"),
    ),
    "Moonshot, one temperature": (
        body(temperature=0.3),
        said("invalid temperature: only 1 is allowed for this model"), without("temperature"),
    ),
    "Anthropic, one of two": (
        body(temperature=0.3, top_p=0.9),
        said("`temperature` and `top_p` cannot both be specified for this model. Please use only"
             " one."),
        lambda sent: "top_p" not in sent and "temperature" in sent,
    ),
    "Anthropic, one of two, the other 0": (
        body(temperature=0, top_p=0.9),
        said("`temperature` and `top_p` cannot both be specified for this model. Please use only"
             " one."),
        lambda sent: "top_p" not in sent and sent.get("temperature") == 0,
    ),
    "a part of an option": (
        body(stream_options={"include_usage": True}),
        said("stream_options.include_usage: not permitted", 422), without("stream_options"),
    ),
    "vLLM, template arguments": (
        body(chat_template_kwargs={"enable_thinking": False}),
        said("Unrecognized request argument supplied: chat_template_kwargs"),
        without("chat_template_kwargs"),
    ),
    "DashScope, thinking": (
        body(enable_thinking=False),
        said("The value of the enable_thinking parameter is restricted to True."),
        without("enable_thinking"),
    ),
    "DeepSeek, a format": (
        body(response_format=JSON_SCHEMA),
        said("This response_format type is unavailable now"),
        lambda sent: sent.get("response_format") == {"type": "json_object"}
        and "title" in sent["messages"][0]["content"],
    ),
    "no JSON mode, whatever it advises": (
        body(response_format={"type": "json_object"}),
        said("JSON mode is not supported for this model, use function calling"),
        without("response_format"),
    ),
    "no format at all": (
        body(response_format=JSON_SCHEMA),
        said("'response_format' is not supported with this model", param="response_format"),
        lambda sent: "response_format" not in sent and "JSON" in sent["messages"][0]["content"],
    ),
    "OpenAI, the word": (
        body(response_format={"type": "json_object"}),
        said("'messages' must contain the word 'json' in some form, to use 'response_format' of"
             " type 'json_object'.", param="messages"),
        lambda sent: "JSON" in sent["messages"][0]["content"],
    ),
    "a forced tool": (
        body(tools=[TOOL], tool_choice="required"),
        said("tool_choice 'required' is not supported in thinking mode"),
        lambda sent: sent.get("tool_choice") == "auto",
    ),
    "OpenRouter, no endpoint": (
        body(tools=[TOOL], tool_choice="required"),
        said("No endpoints found that support the provided 'tool_choice' value.", 404),
        lambda sent: sent.get("tool_choice") != "required",
    ),
    "OpenAI, an unverified organization": (
        body(stream_options={"include_usage": True}),
        said("Your organization must be verified to stream this model.", param="stream",
             code="unsupported_value"),
        lambda sent: sent["stream"] is False and "stream_options" not in sent,
    ),
    "Bedrock, tools in a stream": (
        body(tools=[TOOL], stream_options={"include_usage": True}),
        said("This model doesn't support tool use in streaming mode."),
        lambda sent: sent["stream"] is False and sent["tools"] == [TOOL],
    ),
    "one call at a time": (
        body(tools=[TOOL], parallel_tool_calls=True),
        said("This model does not support parallel tool calls."),
        without("parallel_tool_calls"),
    ),
    "no choice of tools, and none wanted": (
        body(tools=[TOOL], tool_choice="none", parallel_tool_calls=True),
        said("tool_choice is not supported"),
        lambda sent: sent.keys() == {"model", "stream", "messages"},
    ),
    "vLLM, no chat template to give arguments to": (
        body(chat_template_kwargs={"enable_thinking": False}),
        said("chat_template_kwargs is not supported for Mistral tokenizers"),
        without("chat_template_kwargs"),
    ),
    "a plain word behind a colon": (
        body(stop=["x"]), said("Argument not supported on this model: stop"), without("stop"),
    ),
    "Gemini, no thinking to switch off": (
        body(reasoning_effort="none"), said("Thinking budget is not supported for this model."),
        without("reasoning_effort"),
    ),
    "Gemini, always thinking": (
        body(reasoning_effort="none"),
        said("Budget 0 is invalid. This model only works in thinking mode."),
        lambda sent: sent.get("reasoning_effort") == "low",
    ),
    "Groq, at most": (
        body(max_tokens=100_000),
        said("`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens`"
             " is less than the `context_window` for this model"),
        lambda sent: sent.get("max_tokens") == 8192,
    ),
    "xAI, a word of English, no quotes": (
        body(stop=["."]), said("Model grok-4 does not support parameter stop."), without("stop"),
    ),
    "Gemini, penalties": (
        body(frequency_penalty=0.5), said("Penalty is not enabled for models/gemini-2.5-flash"),
        without("frequency_penalty"),
    ),
    "Mistral's tokenizer in vLLM": (
        body(chat_template_kwargs={"enable_thinking": False}),
        said("chat_template is not supported for Mistral tokenizers."),
        without("chat_template_kwargs"),
    ),
    "Groq, JSON beside tools": (
        body(tools=[TOOL], response_format={"type": "json_object"}),
        said("json mode cannot be combined with tool/function calling"),
        lambda sent: "response_format" not in sent and "JSON" in json.dumps(sent["messages"]),
    ),
    "Gemini, JSON beside tools": (
        body(tools=[TOOL], response_format={"type": "json_object"}),
        said("Function calling with a response mime type: 'application/json' is unsupported"),
        without("response_format"),
    ),
    "Gemini, a tool without parameters": (
        body(tools=[TOOL, {"type": "function", "function": {"name": "hang_up", "parameters": {
            "type": "object", "properties": {}}}}]),
        said("* GenerateContentRequest.tools[0].function_declarations[1].parameters.properties:"
             " should be non-empty for OBJECT type"),
        lambda sent: "parameters" not in sent["tools"][1]["function"]
        and sent["tools"][0] == TOOL,
    ),
    "llama.cpp, a pattern": (
        body(tools=[{"type": "function", "function": {"name": "hours", "parameters": {
            "type": "object", "properties": {"day": {"type": "string", "pattern": "x"}}}}}]),
        said("JSON schema conversion failed: Pattern must start with '^' and end with '$'"),
        lambda sent: "pattern" not in json.dumps(sent["tools"]),
    ),
    "Ollama, a value of think": (
        body(think=False),
        (400, {"error": 'invalid think value: false (must be "high", "medium", "low")'}),
        without("think"),
    ),
    "Ollama, a model that does not think": (
        body(think=False), (400, {"error": '"m" does not support thinking'}), without("think"),
    ),
    "Ollama, thinking": (
        body(think=False), (400, {"error": '"gemma3" does not support thinking: "think"'}),
        without("think"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", _FIELDS)
def test_a_field_that_a_server_refuses_is_changed_or_left_out(row: str) -> None:
    original, refusal, accepts = _FIELDS[row]
    before = json.dumps(original)
    sent = asked(original, refusal, accepts)
    assert json.dumps(original) == before
    assert sent["model"] == "m"
    assert sent["messages"][-1]["content"]


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────


def roles(sent: Body) -> list[str]:
    return [message["role"] for message in sent["messages"]]


def words(sent: Body) -> str:
    return json.dumps(sent["messages"])


def first_alone(sent: Body) -> bool:
    return "system" not in roles(sent)[1:]


def taking_turns(sent: Body) -> bool:
    turns = roles(sent)[roles(sent)[0] == "system" :]
    return all(role == ("user", "assistant")[i % 2] for i, role in enumerate(turns))


def without_system(sent: Body) -> bool:
    return "system" not in roles(sent) and taking_turns(sent)


def mistral_order(sent: Body) -> bool:
    pairs = list(zip(roles(sent), roles(sent)[1:], strict=False))
    return not {("tool", "user"), ("user", "user"), ("user", "system")} & {*pairs}


_ORDERS: dict[str, tuple[Body, tuple[int, Any], Accepts]] = {
    "Qwen, system at the beginning": (
        body(SYSTEM, SAID, USER, LATE), said("System message must be at the beginning."),
        first_alone,
    ),
    "llama.cpp, a template's 500": (
        body(SYSTEM, USER, LATE),
        said("Jinja Exception: System message must be at the beginning.", 500), first_alone,
    ),
    "an error inside a 200": (
        body(SYSTEM, USER, LATE), said("System message must be at the beginning.", 0, code=400),
        first_alone,
    ),
    "only one system message": (
        body(SYSTEM, LATE, USER), said("Only one system message is allowed"),
        lambda sent: roles(sent).count("system") == 1,
    ),
    "Gemma, no system": (
        body(SYSTEM, USER), said("System role not supported"), without_system,
    ),
    "Gemini's Gemma, no instruction": (
        body(SYSTEM, USER),
        said("Developer instruction is not enabled for models/gemma-3-27b-it"), without_system,
    ),
    "o1, no system": (
        body(SYSTEM, USER),
        said("Unsupported value: 'messages[0].role' does not support 'system' with this model.",
             param="messages[0].role", code="unsupported_value"), without_system,
    ),
    "Mistral 7B, two roles": (
        body(SYSTEM, USER), said("Only user and assistant roles are supported!"), without_system,
    ),
    "Mistral 7B, a system message breaks the turns": (
        body(SYSTEM, USER),
        said("Conversation roles must alternate user/assistant/user/assistant/..."),
        without_system,
    ),
    "a greeting first": (
        body(SYSTEM, SAID, USER),
        said("Conversation roles must alternate user/assistant/user/assistant/..."), taking_turns,
    ),
    "two questions": (
        body(SYSTEM, USER, USER),
        said("After the optional system message, conversation roles must alternate user and"
             " assistant roles except for tool calls and results."), taking_turns,
    ),
    "Perplexity": (
        body(SYSTEM, SAID, USER),
        said("After the (optional) system message(s), user or tool message(s) should alternate"
             " with assistant message(s)."), taking_turns,
    ),
    "the user first": (
        body(SYSTEM, SAID, USER), said("First message must be from user"), taking_turns,
    ),
    "Mistral, a user after a tool": (
        body(SYSTEM, USER, CALLING, RESULT, USER),
        (400, {"object": "error", "message": "Unexpected role 'user' after role 'tool'",
               "type": "invalid_request_message_order", "code": "3230"}), mistral_order,
    ),
    "Mistral, the last role": (
        body(USER, SAID),
        said("Expected last role User or Tool (or Assistant with prefix True) for serving but got"
             " assistant"), lambda sent: roles(sent)[-1] == "user",
    ),
    "Anthropic, no prefill": (
        body(USER, SAID),
        said("This model does not support assistant message prefill. The conversation must end"
             " with a user message."), lambda sent: roles(sent)[-1] == "user",
    ),
    "Qwen, nobody asked": (
        body(SYSTEM), said("No user query found in messages."), lambda sent: "user" in roles(sent),
    ),
    "a call without a result": (
        body(USER, CALLING, USER),
        said("An assistant message with 'tool_calls' must be followed by tool messages responding"
             " to each 'tool_call_id'. The following tool_call_ids did not have response messages:"
             " call_abc_123"), lambda sent: not any(m.get("tool_calls") for m in sent["messages"]),
    ),
    "a result without a call": (
        body(USER, RESULT, USER),
        said("messages with role 'tool' must be a response to a preceeding message with"
             " 'tool_calls'."), lambda sent: "tool" not in roles(sent),
    ),
    "no role for tools": (
        body(USER, CALLING, RESULT),
        said("messages[2].role: unknown variant `tool`, expected one of `system`, `user`,"
             " `assistant`", 422),
        lambda sent: "tool" not in roles(sent) and "9 to 5" in words(sent),
    ),
    "a template with two roles, and tools": (
        body(SYSTEM, USER, CALLING, RESULT, USER),
        said("Conversation roles must alternate user/assistant/user/assistant/..."),
        lambda sent: taking_turns(sent) and "9 to 5" in words(sent),
    ),
    "one text": (
        body({"role": "user", "content": [{"type": "text", "text": "Open?"}]}),
        said("messages.0.content: Input should be a valid string", 422),
        lambda sent: sent["messages"][0]["content"] == "Open?",
    ),
    "llama-cpp-python, one text": (
        body({"role": "user", "content": [{"type": "text", "text": "Open?"}]}),
        said('can only concatenate str (not "list") to str', 500),
        lambda sent: sent["messages"][0]["content"] == "Open?",
    ),
    "no null": (
        body(USER, CALLING, RESULT),
        said("messages.1.content: none is not an allowed value", 422),
        lambda sent: sent["messages"][1].get("content") == "",
    ),
    "one system message, in Chinese": (
        body(SYSTEM, USER, LATE),
        said("最多只能包含一条 system 消息"),
        lambda sent: roles(sent).count("system") == 1,
    ),
    "GLM, wrong messages": (
        body(SYSTEM, SAID, USER),
        said("messages 参数非法。请检查文档。", code="1214"),
        lambda sent: roles(sent) == ["system", "user"] or roles(sent)[1] == "user",
    ),
    "one text, and no pictures": (
        body({"role": "user", "content": [{"type": "text", "text": "Open?"}, {"type": "image_url",
            "image_url": {"url": "data:image/png;base64,QUJD"}}]}),
        said("messages.0.content: Input should be a valid string", 422),
        lambda sent: sent["messages"][0]["content"] == "Open?\n[picture left out]",
    ),
    "Go, texts only": (
        body({"role": "user", "content": [{"type": "text", "text": "Open?"}]}),
        said("json: cannot unmarshal array into Go struct field"
             " ChatCompletionRequest.messages.content of type string"),
        lambda sent: sent["messages"][0]["content"] == "Open?",
    ),
    "nothing empty": (
        body(USER, {"role": "assistant", "content": ""}, USER),
        said("messages: text content blocks must be non-empty"),
        lambda sent: all(m["content"] for m in sent["messages"]),
    ),
    "Mistral, short ids": (
        body(USER, CALLING, RESULT),
        said("Tool call id was call_abc_123 but must be a-z, A-Z, 0-9, with a length of 9."),
        lambda sent: len(sent["messages"][1]["tool_calls"][0]["id"]) == 9
        and sent["messages"][1]["tool_calls"][0]["id"] == sent["messages"][2]["tool_call_id"],
    ),
    "Gemini 3, a call of another model": (
        body(USER, CALLING, RESULT),
        said("Function call is missing a thought_signature in functionCall parts. This is required"
             " for tools to work correctly."),
        lambda sent: bool(sent["messages"][1]["tool_calls"][0].get("extra_content")),
    ),
    "DeepSeek, a call of another model": (
        body(USER, CALLING, RESULT),
        said("The `reasoning_content` in the thinking mode must be passed back to the API."),
        lambda sent: bool(sent["messages"][1].get("reasoning_content")),
    ),
    "Bedrock behind LiteLLM, calls but no tools": (
        body(USER, CALLING, RESULT),
        said("litellm.UnsupportedParamsError: Bedrock doesn't support tool calling without `tools="
             "` param specified. Pass `tools=` param OR set `litellm.modify_params = True`"),
        lambda sent: "tool" not in roles(sent),
    ),
    "Bedrock, calls but no tools": (
        body(USER, CALLING, RESULT),
        said("The toolConfig field must be defined when using toolUse and toolResult content"
             " blocks."),
        lambda sent: "tool" not in roles(sent),
    ),
    "Anthropic, calls but no tools": (
        body(USER, CALLING, RESULT),
        said("Requests which include `tool_use` or `tool_result` blocks must define tools."),
        lambda sent: "tool" not in roles(sent),
    ),
    "a form with three roles": (
        body(USER, CALLING, RESULT), said("Input should be 'user', 'assistant' or 'system'"),
        lambda sent: "tool" not in roles(sent),
    ),
    "llama.cpp, two replies at the end": (
        body(USER, SAID, SAID),
        said("Cannot have 2 or more assistant messages at the end of the list."),
        lambda sent: roles(sent)[-2:] != ["assistant", "assistant"],
    ),
    "Gemini, a call without a question": (
        body(SYSTEM, CALLING, RESULT, USER),
        said("Please ensure that function call turn comes immediately after a user turn or after a"
             " function response turn."),
        lambda sent: roles(sent)[1] == "user",
    ),
    "Kimi, a call of another model": (
        body(USER, CALLING, RESULT),
        said("thinking is enabled but reasoning_content is missing in assistant tool call message"
             " at index 1"),
        lambda sent: bool(sent["messages"][1].get("reasoning_content")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", _ORDERS)
def test_messages_that_a_server_refuses_are_put_into_its_order(row: str) -> None:
    original, refusal, accepts = _ORDERS[row]
    before = json.dumps(original)
    sent = asked(original, refusal, accepts)
    assert json.dumps(original) == before
    for message in original["messages"]:  # no words are lost
        for spoken in ("You answer the phone.", "Hello.", "Offer help.", "9 to 5"):
            if message.get("content") == spoken:
                assert spoken in words(sent)


# ── Refusals that no changed request would cure ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    "refusal",
    [
        said("Incorrect API key provided: temperature", 401),
        said("The model `m` does not exist", 404),
        said("Rate limit reached for temperature", 429),
        said("You exceeded your current quota", 429),
        said("The engine is overloaded", 503),
        said("Internal server error", 500),
        said("This model's maximum context length is 2048 tokens"),
        said("The response was filtered due to the prompt triggering content management policy"),
        said("tools are not supported"),
        said("gemma3 does not support tools"),
        said("This model does not support image input"),
        said('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser'),
        said(""),
        (400, None),
        (400, "x" * 100_000),
    ],
)
def test_other_refusals_are_final(refusal: tuple[int, Any]) -> None:
    question = Adaptation("box").question(body(SYSTEM, USER, temperature=0.2, tools=[TOOL]))
    assert not question.may_ask_again(status_error(*refusal))


def test_a_server_that_is_never_content_is_asked_five_times_at_most() -> None:
    fields = {f"option_{number}": 1 for number in range(20)}
    question = Adaptation("box").question(body(**fields))
    asked_again = 0
    while question.may_ask_again(
        status_error(*said(f"Unsupported parameter: 'option_{asked_again}'"))
    ):
        asked_again += 1
    assert asked_again == 4


def test_what_was_learnt_is_bounded() -> None:
    adaptation = Adaptation("box")
    for number in range(50):
        question = adaptation.question(body(**{f"option_{number}": 1}))
        assert question.may_ask_again(status_error(*said(f"Unknown parameter: 'option_{number}'")))
        question.answered()
    assert adaptation.notice.count("option_") == 16


def test_what_did_not_help_is_not_learnt() -> None:
    adaptation = Adaptation("box")
    question = adaptation.question(body(temperature=0.2))
    assert question.may_ask_again(status_error(*said("Unsupported parameter: 'temperature'")))
    assert adaptation.notice == ""


# ── Lessons of one request that are none for others ──────────────────────────────────────────────

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
SEEN = {"role": "user", "content": [{"type": "text", "text": "See?"}, PICTURE]}
ASKED_JSON = {"type": "json_object"}

VALID_SCHEMA = {"type": "json_schema", "json_schema": {"name": "t", "schema": {}}}

_OF_A_VALUE: dict[str, tuple[Body, tuple[int, Any], Accepts]] = {
    "no room for the reply": (
        body(max_tokens=4000),
        said("max_tokens is too large: 4000 in the completion, 1000 in the messages"),
        without("max_tokens"),
    ),
    "vLLM, no room for the reply": _FIELDS["vLLM, a reply that leaves no room for the prompt"],
    "a schema": (
        body(response_format=JSON_SCHEMA),
        said("Invalid schema for response_format 't': In context=(), 'required' is required to be"
             " supplied and to be an array.", param="response_format"),
        lambda sent: sent.get("response_format") == ASKED_JSON,
    ),
    "places to stop at": (
        body(stop=["a", "b", "c", "d", "e"]),
        said("Invalid 'stop': array too long. Expected an array with maximum length 4, but got an"
             " array with length 5 instead.", param="stop", code="array_above_max_length"),
        without("stop"),
    ),
    "a user's name": (
        body(user="u" * 80),
        said("Invalid 'user': string too long. Expected a string with maximum length 64",
             param="user", code="string_above_max_length"),
        without("user"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", _OF_A_VALUE)
def test_a_value_that_was_refused_once_is_not_sent_again(row: str) -> None:
    original, refusal, accepts = _OF_A_VALUE[row]
    adaptation = Adaptation("box")
    question = adaptation.question(original)
    assert question.may_ask_again(status_error(*refusal))
    question.answered()
    later = {**original, "messages": [USER, SAID, USER]}
    assert accepts(adaptation.question(later).body)


def test_a_longer_reply_than_one_that_had_no_room_is_not_asked_for() -> None:
    original, refusal, _ = _OF_A_VALUE["no room for the reply"]
    adaptation = Adaptation("box")
    question = adaptation.question(original)
    assert question.may_ask_again(status_error(*refusal))
    question.answered()
    assert "max_tokens" not in adaptation.question(body(max_tokens=4001)).body
    assert adaptation.notice.endswith("max_tokens is left out, where max_tokens is 4000 or more")


def test_0_for_a_choice_that_is_off_does_not_become_the_least_choice() -> None:
    adaptation = Adaptation("box")
    question = adaptation.question(body(top_k=0))
    refusal = said("top_k must be -1 (disable), or at least 1, got 0.")
    assert question.may_ask_again(status_error(*refusal))
    question.answered()
    assert adaptation.question(body(top_k=0)).body == body()


def test_lessons_of_one_value_displace_none_of_all_requests() -> None:
    adaptation = Adaptation("box")
    lasting = adaptation.question(body(top_p=0.2))
    assert lasting.may_ask_again(status_error(*said("Unsupported parameter: 'top_p'")))
    lasting.answered()
    refusal = status_error(*_OF_A_VALUE["a user's name"][1])
    for number in range(50):
        question = adaptation.question(body(user=f"{number}" * 80))
        assert question.may_ask_again(refusal)
        question.answered()
    assert adaptation.question(body(top_p=0.2)).body == body()


@pytest.mark.parametrize(
    "sentence",
    [
        "function calling is not supported together with JSON mode",
        "Tools cannot be used with response_format",
        "Tool calling is not supported in streaming mode.",
        "This model does not support tools with stream=true",
        "This model does not support parallel tool calls",
    ],
)
def test_tools_are_offered_where_only_one_use_of_them_is_refused(sentence: str) -> None:
    adaptation = Adaptation("box")
    asked_for = body(tools=[TOOL], response_format=ASKED_JSON)
    question = adaptation.question(asked_for)
    assert question.may_ask_again(status_error(*said(sentence)))
    question.answered()
    sent = adaptation.question(asked_for).body
    assert sent == question.body
    assert sent["tools"] == [TOOL]
    assert (
        sent["stream"] is False
        or "response_format" not in sent
        or sent["parallel_tool_calls"] is False
    )
    assert adaptation.question(body()).body == body()


_LESSONS: dict[str, tuple[Body, tuple[int, Any], Accepts, Body]] = {
    "calls are told in words only where no tools are offered": (
        *_ORDERS["Anthropic, calls but no tools"],
        body(USER, CALLING, RESULT, tools=[TOOL]),
    ),
    "JSON is asked for in words only beside tools": (
        *_FIELDS["Groq, JSON beside tools"],
        body(response_format=JSON_SCHEMA),
    ),
    "only a request for JSON says so": (*_FIELDS["OpenAI, the word"], body()),
    "one of two is left out only where both are": (
        *_FIELDS["Anthropic, one of two"],
        body(top_p=0.9),
    ),
    "calls that are forbidden stay so where they cannot be forced": (
        *_FIELDS["a forced tool"],
        body(tools=[TOOL], tool_choice="none"),
    ),
    "words without tools are streamed": (*_FIELDS["Bedrock, tools in a stream"], body()),
    "an effort that the server takes": (
        *_FIELDS["OpenAI, listed efforts"],
        body(reasoning_effort="high"),
    ),
    "a model that always thinks may think more": (
        *_FIELDS["Gemini, always thinking"],
        body(reasoning_effort="high"),
    ),
    "a shorter reply has room": (*_OF_A_VALUE["no room for the reply"], body(max_tokens=50)),
    "a lower temperature": (
        body(temperature=1.8),
        said("temperature: Input should be less than or equal to 1.5"),
        lambda sent: sent.get("temperature") == 1.5,
        body(temperature=0.3),
    ),
    "a lower temperature, its range": (
        body(temperature=1.8),
        said("temperature: range: 0..1"),
        lambda sent: sent.get("temperature") == 1,
        body(temperature=0.3),
    ),
    "a schema that is valid": (*_OF_A_VALUE["a schema"], body(response_format=VALID_SCHEMA)),
    "fewer places to stop at": (*_OF_A_VALUE["places to stop at"], body(stop=["a"])),
    "pictures, where only the words of others must be one text": (
        body({"role": "system", "content": [{"type": "text", "text": "Hi."}]}, USER),
        said("'messages.0' : for 'role:system' the following must be satisfied"
             "[('messages.0.content' : value must be a string)]"),
        lambda sent: sent["messages"][0]["content"] == "Hi.",
        body(SYSTEM, SEEN),
    ),
    "calls of a history that begins with a question": (
        *_ORDERS["Gemini, a call without a question"],
        body(SYSTEM, USER, CALLING, RESULT, tools=[TOOL]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", _LESSONS)
def test_what_cured_one_request_changes_none_that_does_not_need_it(row: str) -> None:
    original, refusal, accepts, later = _LESSONS[row]
    adaptation = Adaptation("box")
    question = adaptation.question(original)
    while not accepts(question.body):
        assert question.may_ask_again(status_error(*refusal)), question.body
    question.answered()
    assert adaptation.question(later).body == later


@pytest.mark.parametrize("row", ["Anthropic, calls but no tools", "Groq, JSON beside tools"])
def test_a_lesson_of_one_form_names_it_and_holds_for_it(row: str) -> None:
    original, refusal, accepts = {**_FIELDS, **_ORDERS}[row]
    adaptation = Adaptation("box")
    question = adaptation.question(original)
    assert question.may_ask_again(status_error(*refusal))
    question.answered()
    assert accepts(adaptation.question(original).body)
    assert adaptation.notice.endswith(("in requests without tools", "in requests with tools"))


def test_a_reply_is_continued_where_a_history_must_end_with_the_user() -> None:
    adaptation = Adaptation("box")
    question = adaptation.question(body(USER, SAID))
    assert question.may_ask_again(status_error(*said("Expected last role User or Tool")))
    question.answered()
    begun = body(USER, {**SAID, "prefix": True})
    assert adaptation.question(begun, continues=True).body == begun
    assert roles(adaptation.question(body(USER, SAID)).body)[-1] == "user"


# ── Over the wire ────────────────────────────────────────────────────────────────────────────────

_REFUSED = Script(
    fault=Fault.STATUS,
    status=400,
    error_body=said(f"top_p is not supported, and neither is {SECRET_WORDS}")[1],
)


def refused_once(number: int) -> Script:
    return Script() if number else _REFUSED


async def test_a_refused_request_is_changed_and_the_lesson_is_remembered(
    wire: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = ChatRequest(messages=[USER], top_p=0.5)
    async with serve(refused_once, provider=wire) as (server, provider):
        assert text(await read(provider, request)) == TEXT
        assert text(await read(provider, request)) == TEXT
        sent = ["top_p" in json.dumps(request.body) for request in server.requests]
        assert isinstance(provider, Noticing)
        notice = provider.notice
    assert sent == [True, False, False]
    assert "top_p is left out" in notice
    assert caplog.text.count("top_p is left out") == 1
    assert SECRET_WORDS not in caplog.text + notice


async def test_an_error_in_place_of_a_streams_words_is_cured_too() -> None:
    broken = b'data: {"error": {"code": 400, "message": "System message must be first"}}\n\n'
    scripts = [Script(raw=[broken, b"data: [DONE]\n\n"]), Script()]
    async with serve(scripts.__getitem__) as (server, provider):
        assert text(await read(provider, ChatRequest(messages=[USER, LATE]))) == TEXT
    assert roles(dict(server.requests[1].body)) == ["user", "user"]


async def test_a_refused_beginning_is_continued_in_words_from_then_on() -> None:
    no_prefill = said("This model does not support assistant message prefill.")[1]
    scripts = [Script(fault=Fault.STATUS, status=400, error_body=no_prefill), Script()]
    async with serve(scripts.__getitem__, continuation="trailing") as (server, provider):
        await read(provider, ChatRequest(messages=[USER], prefix="We open at"))
        assert provider.continuation == "words"
    last = server.requests[1].body["messages"]
    assert [m["role"] for m in last] == ["user", "assistant", "user"]
    assert "cut off" in last[-1]["content"]
