"""LlamaIndex as a client: a whole answer, a stream, a call of a tool, an object by a schema.

Runs in LlamaIndex's own environment; `tests/clients/test_python.py` starts it.
"""

import os

from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

llm = OpenAILike(
    model="auto",
    api_base=os.environ["BASE_URL"],
    api_key=os.environ["KEY"],
    is_chat_model=True,
    is_function_calling_model=True,
    should_use_structured_outputs=True,
)
words = os.environ["WORDS"]


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"It is warm in {city}."


class Weather(BaseModel):
    city: str
    degrees: int


assert str(llm.complete("When do you open?")) == words
assert "".join(piece.delta or "" for piece in llm.stream_complete("When do you open?")) == words

tools = [FunctionTool.from_defaults(get_weather)]
calls = llm.get_tool_calls_from_response(
    llm.chat_with_tools(tools, user_msg="Is it warm in 'Zürich'?", allow_parallel_tool_calls=True)
)
assert [(call.tool_name, call.tool_kwargs) for call in calls] == [
    ("get_weather", {"city": "Zürich"}),
    ("get_weather", {"city": "Zürich"}),
]

weather = llm.as_structured_llm(Weather).complete("How warm is it in 'Zürich'? Above 20?").raw
assert weather == Weather(city="Zürich", degrees=20), weather
print("well")
