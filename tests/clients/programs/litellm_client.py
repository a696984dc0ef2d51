"""LiteLLM as a client, as aider, DSPy and others use it: whole, streamed, a call of a tool.

Runs in LiteLLM's own environment; `tests/clients/test_python.py` starts it.
"""

import json
import os

import litellm  # type: ignore[import-not-found]  # has an environment of its own

asked = {
    "model": "openai/auto",
    "api_base": os.environ["BASE_URL"],
    "api_key": os.environ["KEY"],
    "messages": [{"role": "user", "content": "Is it warm in 'Zürich'?"}],
}
parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
tools = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]
words = os.environ["WORDS"]

whole = litellm.completion(**asked)
assert whole.choices[0].message.content == words
assert whole.usage.completion_tokens > 0

chunks = list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
rebuilt = litellm.stream_chunk_builder(chunks, messages=asked["messages"])
assert rebuilt.choices[0].message.content == words
assert rebuilt.usage.completion_tokens > 0
assert rebuilt.id
assert rebuilt.model

for answer in (
    litellm.completion(**asked, tools=tools),
    litellm.stream_chunk_builder(list(litellm.completion(**asked, tools=tools, stream=True))),
):
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Zürich"}] * 2
    assert len({call.id for call in calls}) == 2
print("well")
