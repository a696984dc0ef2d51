"""Runs llama.cpp's own tests of its server against the gateway, with a llama.cpp behind it."""

import os
import re
from pathlib import Path

import pytest

from tests.clients.llama_cpp_suite import suite
from tests.clients.served import gateway
from tests.live.engines import running
from tests.live.kinds import KINDS
from tests.live.receptionist import MODEL

pytestmark = pytest.mark.live

_PLUGIN = Path(__file__).with_name("programs")
_CHAT, _RESPONSES, _ANTHROPIC, _TOOLS, _SECURITY = (
    f"unit/test_{name}.py"
    for name in (
        "chat_completion", "compat_oai_responses", "compat_anthropic", "tool_call", "security",
    )
)  # fmt: skip
_NAMES = ("gpt-3.5-turbo-instruct", "gpt-4.1", "test")
"""Models that the suite names: aliases of ours."""
_OF_THE_SERVER_ITSELF = {
    # Routes, fields and messages that llama.cpp alone has: its templates, prompts, times, tokens.
    _CHAT: (
        "chat_completion", "chat_completion_stream", "chat_completion_with_openai_library",
        "chat_template", "chat_template_assistant_prefill",
        "chat_template_continue_final_message_vllm_compat",
        "chat_template_continue_final_message_mutual_exclusion", "apply_chat_template",
        "chat_completion_with_timings_per_token", "logit_bias", "return_progress",
        "chat_completions_token_count", "verbose_debug",
        # The size of its context and cache, and what its model makes of a grammar in ten tokens.
        "chat_completion_cached_tokens", "context_size_exceeded", "context_size_exceeded_stream",
        "completion_with_response_format[response_format1", "completion_with_json_schema",
        "completion_with_response_format[response_format2",
        # Here the text of a first delta is empty, not null; `n` is 1; a grammar that a server
        # refuses is left out; two turns of one speaker are joined.
        "logprobs_stream", "chat_completions_multiple_choices", "completion_with_invalid_grammar",
        "invalid_chat_completion_req[messages7]",
    ),
    _RESPONSES: ("responses_stream_with_llama_telemetry",),
    # Models with eyes or thoughts, which are to be downloaded; thoughts are left out of a history.
    _ANTHROPIC: (
        "anthropic_tool_result_with_image", "anthropic_vision_format_accepted",
        "anthropic_vision_base64_with_multimodal_model", "anthropic_thinking_history",
        "anthropic_thinking_with_reasoning_model",
        "anthropic_empty_messages",  # a conversation without a message is refused
    ),
    # Images that the server reads from its own disk, where it was started so.
    _SECURITY: (
        "local_media_file[../../../tools-file://mtmd/test-1",
        "local_media_file[../../../tools-file:////mtmd",
    ),
}  # fmt: skip
_PARTS = (
    _CHAT,
    _RESPONSES,
    _ANTHROPIC,
    f"{_TOOLS}::test_completion_without_tool_call_fast",
    f"{_TOOLS}::test_completion_without_tool_call_slow",
    f"{_SECURITY}::test_incorrect_api_key",
    f"{_SECURITY}::test_local_media_file",
)
_FIRST_DELTA_IS_NULL = "STREAMED"
"""Marks tests that want null where the first delta of ours has an empty text."""


@pytest.mark.timeout(900)
async def test_what_the_suite_expects_of_any_gateway_holds(tmp_path: Path) -> None:
    python, tests = suite()
    left_out = [
        f"--deselect={file}::test_{name}"
        for file, names in _OF_THE_SERVER_ITSELF.items()
        for name in names
    ]
    async with running(KINDS["llama_cpp"], tmp_path) as engine:
        row = {
            "name": "llama", "base_url": engine.base_url, "api_key": engine.key,
            "server": KINDS["llama_cpp"].server, "model_name": MODEL, "aliases": _NAMES,
        }  # fmt: skip
        async with gateway(tmp_path, connections=[row]) as served:
            printed = await served.run(
                python, "-m", "pytest", "-q", "-p", "llama_cpp_plugin", "-p", "no:cacheprovider",
                "-k", f"not {_FIRST_DELTA_IS_NULL}", *_PARTS, *left_out,
                folder=tests, PORT=served.url.rpartition(":")[2], DEBUG_EXTERNAL="1", MODEL=MODEL,
                PYTHONPATH=os.pathsep.join(map(str, (tests, _PLUGIN))),
            )  # fmt: skip
    [passed] = re.findall(r"(\d+) passed", printed)
    assert "skipped" not in printed
    assert int(passed) >= 55
