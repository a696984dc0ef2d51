"""Tests that no reasoning, token or tool call that a model writes as text is ever spoken.

The tables are fed to the filter; that every wire has it, the last tests show.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.errors import BrokenStreamError
from llm_router.management.probe import check_provider
from llm_router.providers._wire.arguments import object_text
from llm_router.providers._wire.lost_opening import LostOpening
from llm_router.providers._wire.machine_text import MachineTextFilter
from llm_router.providers._wire.tools import OfferedTools
from llm_router.testing.server import Script
from llm_router.types import ChatRequest, ToolCall
from tests.contracts.wire import (
    REQUEST,
    read,
    read_until_broken,
    reply_to,
    serve,
    text,
)
from tests.contracts.wire_parsing import ended, events
from tests.contracts.wire_parsing import said as sent
from tests.contracts.written_calls import ARGUMENTS, CALL, MARKED, WHOLE

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            },
        },
    }
    for name in ("get_weather", "hang_up", "add")
]
OFFERED = OfferedTools(TOOLS)
REQUEST_WITH_TOOLS = ChatRequest(messages=REQUEST.messages, tools=TOOLS, speech=True)
THOUGHT = "The caller wants the hours."
ANSWER = "Nine o'clock."


class Filtered:
    """The result of filtering a text that comes in these pieces."""

    def __init__(
        self, pieces: Sequence[str], tools: OfferedTools = OFFERED, *, speech: bool = True
    ) -> None:
        text = MachineTextFilter(tools, speech=speech)
        parts = [*map(text.feed, pieces), text.close()]
        self.words = "".join(words for words, _ in parts)
        self.thought = "".join(thought for _, thought in parts)
        self.calls = [
            (tools.resolve(name), json.loads(object_text(arguments) or "null"))
            for name, arguments in text.calls
        ]
        self.has_unreadable_call = text.has_unreadable_call


def filtered(written: str, *, speech: bool = True) -> Filtered:
    """Filters a text, and checks that single characters give the same as all of it at once."""
    whole = Filtered([written], speech=speech)
    assert vars(Filtered([*written], speech=speech)) == vars(whole)
    return whole


@pytest.mark.parametrize("written", MARKED.values(), ids=MARKED)
@pytest.mark.parametrize("before", ["", "Let me see. "])
def test_a_call_in_text_is_made_and_not_spoken(written: str, before: str) -> None:
    found = filtered(before + written)
    assert found.calls == [("get_weather", {"city": "Oslo"})]
    assert found.words.strip() == before.strip()
    assert not found.has_unreadable_call


@pytest.mark.parametrize("written", WHOLE.values(), ids=WHOLE)
def test_a_reply_that_is_a_call_is_made_and_not_spoken(written: str) -> None:
    found = filtered(written)
    assert found.calls == [("get_weather", {"city": "Oslo"})]
    assert found.words.strip() == ""


NAMED_ONLY = {"Llama 4", "a tag of its name", "a tag of its name, JSON inside", "Python in a fence",
              "Python in a fence, printed", "its name as the key"}  # fmt: skip
"""Forms that only the name of a tool tells from text."""


@pytest.mark.parametrize("form", sorted({*MARKED} - NAMED_ONLY))
def test_a_call_in_text_is_not_spoken_where_no_tools_were_offered(form: str) -> None:
    written = MARKED[form]
    found = Filtered([f"Let me see. {written}"], OfferedTools())
    assert (found.words.strip(), found.calls) == ("Let me see.", [])


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("<function=add><parameter=days>\n3\n</parameter></function>", 3),
        ("<tool_call>add\n<arg_key>days</arg_key><arg_value>3</arg_value></tool_call>", 3),
        ('<invoke name="add"><parameter name="city">3</parameter></invoke>', None),
    ],
)
def test_a_parameter_has_the_type_that_the_tool_states(written: str, days: int | None) -> None:
    expected = {"city": "3"} if days is None else {"days": days}
    assert filtered(written).calls == [("add", expected)]


def test_several_calls_are_made_in_order() -> None:
    other = '{"name": "add", "parameters": {"days": 1}}'
    for written in (
        f"{CALL}; {other}",
        f"<tool_call>{CALL}</tool_call>\n<tool_call>{other}</tool_call>",
        f"[TOOL_CALLS][{CALL}, {other}]",
        f'[TOOL_CALLS]get_weather[ARGS]{ARGUMENTS}[TOOL_CALLS]add[ARGS]{{"days": 1}}',
        '[get_weather(city="Oslo"), add(days=1)]',
    ):
        found = filtered(written)
        assert found.words.strip() == ""
        assert found.calls == [("get_weather", {"city": "Oslo"}), ("add", {"days": 1})]


UNKNOWN = [
    '<tool_call>{"name": "forecast", "arguments": {}}</tool_call>',
    '{"name": "forecast", "arguments": {}}',
    '<function=forecast>{"city": "Oslo"}</function>',
    "[TOOL_CALLS]forecast[ARGS]{}",
    "<|channel|>commentary to=browser.search<|message|>{}<|call|>",
]


@pytest.mark.parametrize("written", UNKNOWN)
def test_a_call_of_a_tool_that_was_not_offered_is_neither_made_nor_spoken(written: str) -> None:
    found = filtered(f"Let me see. {written}")
    assert (found.words.strip(), found.calls) == ("Let me see.", [])
    assert not found.has_unreadable_call


@pytest.mark.parametrize(
    "written",
    [
        '<tool_call>{"name": "get_weather", "arguments": {"ci',
        '<tool_call>{"name": "get_weather", "arguments": {"a": {"b": 1}, "ci',
        '{"name": "get_weather", "parameters": {"ci',
        "<function=get_weather><parameter=city>Os",
        "<function=get_weather>",
        "<tool_call>get_weather",
        "<tool_call>get_weather\n<arg_key>city</arg_key><arg_value>Os",
        '[TOOL_CALLS][{"name": "get_weather", "argu',
        'get_weather(city="Oslo", o={"a": 1}, d="',
        "<tool_call>I would like to know the weather.</tool_call>",
        "```tool_code\nget_weather(city=",
    ],
)
def test_half_a_call_is_neither_made_nor_spoken(written: str) -> None:
    found = filtered(written)
    assert (found.words, found.calls) == ("", [])
    assert found.has_unreadable_call


FINAL = "<|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(
    ("opening", "end"),
    [
        ("<think>", "</think>"),
        ("<Think>\n", "\n</Think>\n\n"),
        ("<think>", "</think><answer>"),
        ("<thinking>", "</thinking>"),
        ("<thinking>", "</think>"),
        ('<think time="3s">', "</think>"),
        ("<thought>", "</thought>"),
        ("<reasoning>", "</reasoning>"),
        ("<reflection>", "</reflection>"),
        ("<antThinking>", "</antThinking>"),
        ("<seed:think>", "</seed:think>"),
        ("<mm:think>", "</mm:think>"),
        ("<longcat_think>", "</longcat_think>"),
        ("[THINK]", "[/THINK]"),
        ("◁think▷", "◁/think▷"),
        ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
        ("<|begin_of_thought|>", "<|end_of_thought|><|begin_of_solution|>"),
        ("<|inner_prefix|>", "<|inner_suffix|>"),
        ("<|channel>thought\n", "<channel|>"),
        ("<|channel|>analysis<|message|>", f"<|end|>{FINAL}"),
        ("<|channel|>analysis<|message|>", "<|end|><|channel|>final<|message|>"),
        ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
        ("<|channel|>commentary<|message|>", f"<|end|>{FINAL}"),
        ("<|start|>assistant<|channel|>analysis<|message|>", f"<|end|>{FINAL}"),
        ("analysis", "assistantfinal"),
        ("Here is my thought process:\n", "\nHere is my response:\n"),
        ("Here's my thought process:", "Here is my response:"),
        ("Here are my reasoning steps:\n", "\n[BEGIN FINAL RESPONSE]"),
        ("<internal_thought>", "</internal_thought>"),
        ("<plan>", "</plan>"),
        ("[REASONING]", "[/REASONING]"),
        ('<details type="reasoning" done="true"><summary>Hm</summary>\n', "\n</details>\n"),
        ("assistantanalysis", "assistantfinal"),
        ("<reasoning_content>", "</reasoning_content>"),
        ("<|thinking_start|>", "<|thinking_end|>"),
        ("<unused94>thought\n", "<unused95>"),
        (
            "<think_never_used_51bce0c785ca2f68081bfa7d91973934>",
            "</think_never_used_51bce0c785ca2f68081bfa7d91973934>",
        ),
        ("analysiswe: ", "assistantfinal"),
    ],
)
@pytest.mark.parametrize("after", ["", "<|im_end|>", "</s>", "<|return|>", "<end_of_turn>"])
def test_reasoning_in_text_is_not_spoken(opening: str, end: str, after: str) -> None:
    found = filtered(f"{opening}{THOUGHT}{end}{ANSWER}{after}")
    assert found.words.strip() == ANSWER
    assert THOUGHT[1:] in found.thought


@pytest.mark.parametrize(
    "written",
    [
        "<think>Hm, the",
        "<thinking>Hm",
        "<|channel|>analysis<|message|>Hm",
        "[THINK]Hm</",
        "◁think▷",
        "Thought: The shop opens at nine.",
        "Thought: I look it up.\nAction: look",
    ],
)
def test_reasoning_that_never_ends_is_neither_spoken_nor_a_silence(written: str) -> None:
    assert filtered(written).words == ""
    text = MachineTextFilter(OFFERED)
    assert (text.feed(written)[0], text.close()[0]) == ("", "")
    with pytest.raises(BrokenStreamError):
        text.written()


@pytest.mark.parametrize("given", ["", '""', "None", "`None`", "N/A"])
@pytest.mark.parametrize("label", ["{}:", "**{}:**", "**{}**:"])
def test_an_agents_call_without_arguments_is_made(label: str, given: str) -> None:
    action, arguments = label.format("Action"), label.format("Action Input")
    found = filtered(f"Thought: Bye.\n{action} hang_up\n{arguments} {given}")
    assert (found.words, found.calls) == ("", [("hang_up", {})])


@pytest.mark.parametrize(
    "written",
    [
        f"Action:\n\n```json\n{CALL}\n```",
        f"Action: \n{CALL}",
        f"Action:get_weather\nAction Input: {ARGUMENTS}",
        f"Action: Get_Weather\nAction Input: {ARGUMENTS}",
    ],
)
def test_an_agents_call_is_made_in_its_usual_writings(written: str) -> None:
    found = filtered(f"Thought: I ask.\n{written}")
    assert (found.words, found.calls) == ("", [("get_weather", {"city": "Oslo"})])


TOKENS = [
    *("<|im_end|>", "<|eot_id|>", "</s>", "<|endoftext|>", "<end_of_turn>", "[/INST]", "<|end|>"),
    *("<|eom_id|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "<eos>", "<|return|>", "<turn|>"),
    *("[end of text]", "<|end_of_box|>", "<|EOT|>", "<|assistant|>", "<|END_RESPONSE|>"),
    *("[|endofturn|]", "<|end of sentence|>", "<|im_end|", "<|eot_id", "<EOT>", "<|endoft"),
    *("【4†source】", "\ue200cite\ue202turn0search1\ue201", "[END FINAL RESPONSE]"),
    *('<grok:render type="x"><argument name="id">1</argument></grok:render>',),
    *("<unused49>", "<0x0A>", "<ctrl99>", "<dummy00001>", "<extra_id_1>", "<reserved_12>"),
    *("[UNUSED_TOKEN_145]", "</assistant>"),
    *("<|some_new_token|>", "<｜new｜>", "<|im_end|><|endoftext|>", "</answer>", "<pad><pad>"),
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_at_the_end_is_not_spoken(token: str) -> None:
    assert filtered(ANSWER + token).words.rstrip() == ANSWER


def test_the_token_of_a_line_break_parts_two_words() -> None:
    assert filtered("We open at nine.<0x0A>We close at five.").words == (
        "We open at nine. We close at five."
    )


@pytest.mark.parametrize(
    "written",
    [
        f"<|im_start|>assistant\n{ANSWER}<|im_end|>",
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{ANSWER}",
        f"<start_of_turn>model\n{ANSWER}",
        f"assistant\n\n{ANSWER}",
        f"Assistant: {ANSWER}",
        f"### Response:\n{ANSWER}",
        f"<assistant>{ANSWER}</assistant>",
        f">>>all\n{ANSWER}",
        f"Thought: I know it.\nFinal Answer: {ANSWER}",
        f"Thought: I know it.\nAction: None\nFinal Answer: {ANSWER}",
        f"**Thought:** I know it.\n\n**Final Answer:** {ANSWER}",
        f"Thought: I know it.\n**Final Answer**: {ANSWER}",
        f"Thought: I know it.\n**Final Answer**\n\n{ANSWER}",
        f"Thought: I know it.\n**Answer:** {ANSWER}",
        f'Action:\n```json\n{{"action": "Final Answer", "action_input": "{ANSWER}"}}\n```',
        f'Thought: Hm.\nAction: {{"action": "Final Answer", "action_input": "{ANSWER}"}}',
        f'{{"action": "Final Answer", "action_input": "{ANSWER}"}}',
        f"Thought: Do I need to use a tool? No\nAI: {ANSWER}",
        f"Final Answer: {ANSWER}",
        f"**Final Answer:** {ANSWER}",
        f"<|begin_of_box|>{ANSWER}<|end_of_box|>",
        f"<s>{ANSWER}</s>",
        f"<answer>{ANSWER}</answer>",
        f"<speak>{ANSWER}</speak>",
        f"[gMASK]<sop>{ANSWER}",
        f"<extra_id_0>{ANSWER}",
        f"<|channel|>final<|message|>{ANSWER}<|return|>",
        f"<|channel|>final {ANSWER}",
        f"{ANSWER}<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\nNo.",
        f"{ANSWER}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd on Sunday?",
        f"{ANSWER}<end_of_turn>\n<start_of_turn>user\nAnd on Sunday?",
        f"{ANSWER}</s> [INST] And on Sunday? [/INST] Closed.",
        f"{ANSWER}<|endoftext|>Human: And on Sunday?",
        f"{ANSWER}<|user|>\nAnd on Sunday?",
        f'{ANSWER}\n<tool_response>{{"open": 9}}</tool_response>',
    ],
)
def test_marks_around_an_answer_and_made_up_turns_are_not_spoken(written: str) -> None:
    assert filtered(written).words.strip() == ANSWER


PROSE = [
    *("2 < 3 and 3 > 2", "I <3 you", "a <b> c", "x <= y", "1 << 2", "price: 5 <| 6", "a|>b"),
    *("[1] first, [2] second", "[[1,2],[3]]", "[get_time] is a thing", "[INS", "[TOOL", "a[i]"),
    *("{curly} braces {}", '{"name": "Bob", "age": 3}', '{"a": 1}', '[{"x": 1}]', '{"name": "get"'),
    *("use `code` here", "```python\nprint(1)\n```", "`", "``", "f(x) = {y}", "x = 1", "=fun"),
    *("Here is the list: [a, b]", "Here's my view.", "Here", "functools is a module", "f", "an"),
    *("analysis of data", "assistant manager", "get_weather is a tool", "add two", "to you"),
    *("A < B <thin", "<3 <3 <3", "Array<string>", "if (a<b && c>d) {}", "the <reason why"),
    *("<div>Hi</div>", "hang_up the phone", '"name": get', " \n ", "Zwölf Uhr – schön! 😀", "行"),
    *(
        "[notes]",
        "[UN] resolution",
        "a <unused> b",
        "assistants",
        "AI is new",
        "Assistant",
        "### One",
    ),
    *("a] b]<c", "【注】行", "Analysis", "<internal", "print(x)", "functions.x", "]<]"),
]


@pytest.mark.parametrize("prose", PROSE)
@pytest.mark.parametrize("speech", [True, False])
def test_ordinary_text_is_left_as_it_is(prose: str, speech: bool) -> None:
    for written in (prose, f"So: {prose} And then."):
        found = filtered(written, speech=speech)
        assert (found.words, found.thought, found.calls) == (written, "", [])


@pytest.mark.parametrize(
    "page",
    [
        "```html\n<s>old</s> <think>x</think>\n```\nDone.",
        "```xml\n<tool_call>{}</tool_call>\n```",
        "Use `<think>` and `</s>`, or `<|im_end|>`.",
        "<s>old</s> new",
        "<output>4</output>",
    ],
)
def test_code_in_a_text_for_reading_is_left_as_it_is(page: str) -> None:
    assert filtered(page, speech=False).words == page


def test_arguments_without_a_name_are_not_spoken_and_call_nothing() -> None:
    found = filtered(f"Let me see. {ARGUMENTS}")
    assert (found.words.strip(), found.calls) == ("Let me see.", [])
    assert filtered(ARGUMENTS, speech=False).words == ARGUMENTS
    text = MachineTextFilter(OFFERED)
    assert text.feed(ARGUMENTS) == ("", "")
    with pytest.raises(BrokenStreamError):
        text.written()


def test_text_is_withheld_only_while_it_may_begin_a_mark() -> None:
    text = MachineTextFilter(OFFERED)
    pieces = [
        "Hello",
        " a < b",
        " then <",
        " c",
        " {",
        '"x',
        '": 1}',
        " [",
        "1] `",
        "a` <thi",
        "s>",
    ]
    assert [text.feed(piece)[0] for piece in pieces] == [
        *("Hello", " a < b", " then ", "< c", " ", '{"x', '": 1}', " ", "[1] ", "`a` ", "<this>"),
    ]


PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "<think>",
                "</think>",
                "<",
                "<tool_call>",
                "</tool_call>",
                CALL,
                "{",
                "[",
                "`",
                "```",
            ),
            *(
                "word ",
                "é",
                "\n",
                " ",
                "<|channel|>",
                "analysis",
                "final",
                "<|message|>",
                "<|end|>",
            ),
            *("<|im_end|>", "</s>", "get_weather(", '"Oslo")', "[TOOL_CALLS]", "to=functions.add"),
            *('{"name": "add"', "}", "<function=add>", "</function>", "json\n", "<|", "|>", "="),
        ]
    ),
    max_size=8,
).map("".join)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def cut(written: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(written), *(place % (len(written) + 1) for place in places)})
    return [written[a:b] for a, b in pairwise(edges)]


@given(PIECES.map(lambda written: f"So {written}"), CUTS, st.booleans())
def test_the_result_does_not_depend_on_how_the_text_is_cut(
    written: str, places: list[int], speech: bool
) -> None:
    written = written.replace("</think>", "") if "<think>" not in written else written
    whole = vars(Filtered(["So", written[2:]], speech=speech))
    assert vars(Filtered(["So", *cut(written[2:], places)], speech=speech)) == whole


@given(st.text(alphabet=st.characters(exclude_characters="<[{`◁✿=", codec="utf-8")))
def test_prose_without_the_signs_of_marks_is_never_changed(prose: str) -> None:
    assert Filtered(["So ", *prose]).words == f"So {prose}"


def test_a_lost_opening_tag_is_learnt_from_the_first_reply() -> None:
    lost = LostOpening()
    for expected in (f"{THOUGHT}\n\n{ANSWER}", f"\n\n{ANSWER}", f"\n\n{ANSWER}"):
        with lost.filter(REQUEST_WITH_TOOLS) as text:
            parts = [text.feed(piece) for piece in (THOUGHT, "</think>", "\n\n", ANSWER)]
            parts.append(text.close())
        assert "".join(words for words, _ in parts) == expected
    for _ in range(2):  # and unlearnt from one that was words
        with lost.filter(REQUEST_WITH_TOOLS) as text:
            last = [text.feed(ANSWER), text.close()]
        assert "".join(words for words, _ in last) == ANSWER
    assert last[0][0] == ANSWER


def test_replies_that_were_not_read_to_the_end_unlearn_it_too() -> None:
    lost = LostOpening()
    with lost.filter(REQUEST_WITH_TOOLS) as text:
        text.feed("Hm</think>")
        text.close()
    for _ in range(3):
        with suppress(GeneratorExit), lost.filter(REQUEST_WITH_TOOLS) as text:
            assert text.feed(ANSWER)[0] == ""
            raise GeneratorExit
    with lost.filter(REQUEST_WITH_TOOLS) as text:
        assert text.feed(ANSWER)[0] == ANSWER


# --- On every wire


def said(pieces: Sequence[str]) -> Script:
    return Script(words=tuple(pieces))


SPOKEN_AND_CALLED = [
    (f"<thinking>{THOUGHT}</thinking>{ANSWER}<|im_end|>", ANSWER, 0),
    (f"One moment. {MARKED['Hermes, Qwen']}", "One moment.", 1),
    (MARKED["gpt-oss"], "", 1),
    (f"One moment. {UNKNOWN[0]}", "One moment.", 0),
]


@pytest.mark.parametrize(("written", "spoken", "calls"), SPOKEN_AND_CALLED)
async def test_every_wire_filters_its_words(
    written: str, spoken: str, calls: int, wire: str
) -> None:
    cut_up = [written[at : at + 6] for at in range(0, len(written), 6)]
    chunks = await reply_to(said(cut_up), REQUEST_WITH_TOOLS, provider=wire)
    made = [call for chunk in chunks for call in chunk.tool_calls]
    assert text(chunks).strip() == spoken
    assert [(call.name, call.arguments) for call in made] == [("get_weather", ARGUMENTS)] * calls
    assert chunks[-1].finish_reason == ("tool_calls" if calls else "stop")
    assert all(call.id for call in made)


async def test_half_a_call_in_text_breaks_the_reply_on_every_wire(wire: str) -> None:
    async with serve(said(["<tool_call>", CALL[:20]]), provider=wire) as (_, provider):
        assert text(await read_until_broken(provider, REQUEST_WITH_TOOLS)) == ""


@pytest.mark.parametrize("request_", [REQUEST, REQUEST_WITH_TOOLS], ids=["no tools", "tools"])
async def test_nothing_but_a_call_of_an_unknown_tool_is_no_silence(
    request_: ChatRequest, wire: str
) -> None:
    async with serve(said([UNKNOWN[0]]), provider=wire) as (_, provider):
        assert text(await read_until_broken(provider, request_)) == ""


async def test_a_call_beside_its_own_text_is_made_once(wire: str) -> None:
    script = Script(words=(MARKED["Hermes, Qwen"],), tool_calls=[ToolCall("c", "add", "{}")])
    chunks = await reply_to(script, REQUEST_WITH_TOOLS, provider=wire)
    assert [call.name for chunk in chunks for call in chunk.tool_calls] == ["add"]
    assert text(chunks) == ""


async def test_a_connection_learns_that_the_opening_tag_is_missing(wire: str) -> None:
    async with serve(said([THOUGHT, "</think>", ANSWER]), provider=wire) as (_, provider):
        await read(provider, REQUEST_WITH_TOOLS)
        assert text(await read(provider, REQUEST_WITH_TOOLS)) == ANSWER


async def test_a_model_that_its_limit_cuts_while_it_thinks_is_well() -> None:
    script = Script(raw=[events(sent("<think>", "length"))])
    async with serve(script) as (_, provider):
        assert (await read(provider))[-1].finish_reason == "length"
        assert await check_provider(provider, 5.0, for_a_word=True) is None


async def test_an_empty_reply_is_a_silence_where_an_opening_tag_is_missing() -> None:
    thought = Script(words=(THOUGHT, "</think>", ANSWER))
    silent = Script(raw=[events(sent(""), ended("stop"))])
    async with serve([thought, silent].__getitem__) as (_, provider):
        await read(provider)
        [last] = await read(provider)
    assert (last.text, last.finish_reason) == ("", "stop")
