"""Tests of what an operator may read of a server's sentence."""

from typing import Any

import pytest

from llm_router.classification import classify
from llm_router.classification.redaction import operator_text
from llm_router.connections.record import Connection
from llm_router.errors import StatusError

CALLER = "Hello, my name is Ada Lovelace and my card number is 4111 1111 1111 1111."


def history(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text} for text in texts]


@pytest.mark.parametrize(
    "said",
    [
        "registry.ollama.ai/library/gemma3:4b does not support tools",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "Unsupported value: 'temperature' does not support 0.2 with this model.",
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "Invalid 'messages[1].content': string too long.",
        "The model `gpt-9` does not exist or you do not have access to it.",
        "model 'qwen3:8b' not found, try pulling it first",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_01`",
        "the request exceeds the available context size, try increasing it",
        "余额不足，请充值",
    ],
)
def test_a_servers_own_words_are_shown_whole(said: str) -> None:
    assert operator_text(said, history(CALLER)) == said
    assert operator_text(said, ()) == said


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        (f"Invalid message: {CALLER}", "Lovelace"),
        (f'Invalid message: "{CALLER}"', "4111"),
        ("Invalid content 'Ada Lovelace'", "Lovelace"),
        ("Invalid content 'Lovelace' at index 3", "Lovelace"),
        ("Invalid content `card`", "card"),
        ("Invalid content “Ada Lovelace”", "Ada"),
        ("near MY NAME IS ADA Lovelace, unexpected token", "ADA"),
        ("near my\\nname is Ada Lovelace", "Ada"),
        ("near my  name -- is; Ada: Lovelace", "Lovelace"),
        ("input: hello my name is Ad", "Ad"),
        ("the number 4111 1111 1111 1111 is not allowed", "4111"),
        ("the number 4111111111111111 is not allowed", "4111"),
        ("the number 4111-1111-1111-1111 is not allowed", "4111"),
        ("[{'role': 'user', 'content': 'Hello, my name is Ada Lovelace and'}]", "Lovelace"),
    ],
)
def test_callers_words_are_cut_out(said: str, secret: str) -> None:
    shown = operator_text(said, history("Yes", CALLER))
    assert secret.lower() not in shown.lower()
    assert "[...]" in shown


@pytest.mark.parametrize(
    ("text", "said", "shown"),
    [
        ("Müller heißt er", "bad: M\\u00fcller hei\\u00dft er", "bad: [...]"),
        ("我的卡号是四二", "无效输入：我的卡号是四二", "无效输入：[...]"),
        ("ada@example.com", "unknown address ada@example.com", "unknown address [...]"),
        ("call +44 20 7946 0018", "bad number +442079460018 given", "bad number [...] given"),
        ("good morning", "flagged: good morning", "flagged: [...]"),
        ("tools", "does not support tools", "does not support tools"),
        ("what temperature is it", "Unsupported 'temperature'", "Unsupported 'temperature'"),
        ("8192", "maximum is 8192 tokens", "maximum is [...] tokens"),
    ],
)
def test_languages_addresses_and_short_messages(text: str, said: str, shown: str) -> None:
    assert operator_text(said, history("x", text)) == shown


def test_every_message_counts_and_every_part_of_it() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Their secret word is rumpelstiltskin, as agreed"},
        {"role": "user", "content": [{"type": "text", "text": "a secret of mine alone"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "f", "arguments": '{"who": "Ada Lovelace"}'}}],
        },
        {"role": "tool", "content": "her address is 7 Mill Lane"},
    ]
    said = "'rumpelstiltskin' a secret of mine alone 'Ada Lovelace' her address is 7 Mill Lane"
    shown = operator_text(said, messages)
    for secret in ("rumpelstiltskin", "mine", "Ada", "Mill"):
        assert secret not in shown


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnop1234",
        "sk-ant-api03-abcdefghijkl",
        "gsk_abcdefghijklmnop",
        "AIzaSyAbcdefghijklmnopqrstuvwxyz",
        "hf_abcdefghijklmnop",
        "Bearer abc.def",
        "sk-abc***************xyz",
        "0123456789abcdef0123456789abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx",
    ],
)
def test_keys_are_cut_out(key: str) -> None:
    shown = operator_text(f"Incorrect API key provided: {key} see the page", ())
    assert shown == "Incorrect API key provided: [...] see the page"


@pytest.mark.parametrize(
    "name",
    [
        "keyword-arguments-are-wrong",
        "Qwen2.5-Coder-32B-Instruct-GPTQ-Int4",
        "hf.co/bartowski/Llama",
    ],
)
def test_names_are_no_keys(name: str) -> None:
    assert operator_text(f"unknown: {name}", ()) == f"unknown: {name}"


def test_it_is_one_bounded_printable_line() -> None:
    shown = operator_text("a\x1b[31m\\u0000b\r\n\\ud800 " + "word " * 1000 + "x" * 500, ())
    assert shown.isprintable()
    assert len(shown) <= 300
    assert operator_text("data:image/png;base64," + "A" * 500, ()) == "[...]"


def test_nothing_is_shown_where_it_cannot_be_checked() -> None:
    assert operator_text("no tools", None) == ""
    assert operator_text("no tools", history("word " * 100_000)) == ""


def test_a_failure_holds_the_servers_sentence_only_with_the_messages() -> None:
    error = StatusError(400, detail="Unsupported 'seed' for Ada Lovelace's", param="seed")
    assert "seed" not in str(classify(error))
    shown = str(classify(error, history("seed", "Ada Lovelace's")))
    assert shown == "bad request (HTTP 400: Unsupported 'seed' for [...])"


def test_the_keys_of_the_connection_are_cut_out_in_any_form() -> None:
    there = Connection(
        name="a",
        api_key="open sesame please",
        headers={"X-Key": "Token correct-horse", "X-Short": "none"},
    )
    error = StatusError(0, detail="bad: open sesame please, correct-horse, none")
    shown = str(classify(error, (), there.secrets))
    assert "sesame" not in shown
    assert "horse" not in shown
    assert "none" in shown
