"""Reads the body of a completion of a text, and makes the router's request of it. Pure."""

from llm_router.gateway.completions.body import call_of, is_set, read_body, session_of
from llm_router.gateway.completions.call import Call
from llm_router.gateway.completions.request import passed_on, stops
from llm_router.gateway.schemas.chat import ChatCompletionCreate
from llm_router.gateway.schemas.text_completions import CompletionCreate
from llm_router.gateway.text_completions.frames import CompletionForm
from llm_router.types import ChatRequest


def read_completion_call(body: bytes, key_id: str) -> Call:
    """Reads a body. Raises ChatProblem (400) for one that is no request, naming the field.

    `key_id` tells apart sessions of API keys.
    """
    fields = read_body(body, CompletionCreate)
    prompt = fields.prompt if isinstance(fields.prompt, str) else fields.prompt[0]
    # Those that mean something in a conversation would take the place of what is checked here.
    named = ChatCompletionCreate.model_fields
    given = {name: value for name, value in (fields.model_extra or {}).items() if name not in named}
    request = ChatRequest(
        messages=[{"role": "user", "content": prompt}],
        temperature=fields.temperature,
        top_p=fields.top_p,
        max_tokens=fields.max_tokens,
        stop=stops(fields.stop),
        seed=fields.seed,
        extra_body=passed_on(given, fields.user),
        session_id=session_of(key_id, fields.user or given.get("prompt_cache_key")),
    )
    form = CompletionForm(include_usage=is_set(fields.stream_options, "include_usage"))
    return call_of(fields, request, form)
