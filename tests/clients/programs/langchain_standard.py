"""LangChain's standard tests of a chat model, with `ChatOpenAI` pointed at the gateway.

Runs in LangChain's own environment; `tests/clients/test_python.py` starts it.
"""

import os
from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestChatOpenAI(ChatModelIntegrationTests):  # type: ignore[misc]  # not installed here
    @property
    def chat_model_class(self) -> Any:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "base_url": os.environ["BASE_URL"],
            "api_key": os.environ["KEY"],
            "model": os.environ["MODEL"],
            "stream_usage": True,  # off by default with a base_url
            "use_responses_api": False,
        }

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return os.environ["OTHER_MODEL"]

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return False

    @property
    def supports_image_inputs(self) -> bool:
        return False  # the suite downloads its picture; llm-comply brings one

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[
        Literal["invoke", "stream"],
        list[
            Literal[
                "audio_input",
                "audio_output",
                "reasoning_output",
                "cache_read_input",
                "cache_creation_input",
            ]
        ],
    ]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)
        if not stream:
            answer = model.invoke("Hello")
            assert isinstance(answer, AIMessage)
            return answer
        whole: Any = None
        for piece in model.stream("Hello"):
            whole = piece if whole is None else whole + piece
        assert isinstance(whole, AIMessage)
        return whole
