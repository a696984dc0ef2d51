"""Tests of the offline responder: its rules, its sums and its replies."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.providers.offline.provider import OfflineProvider
from llm_router.providers.offline.rules import load_language
from llm_router.types import ChatRequest, Chunk, Message

AFTERNOON = datetime(2026, 3, 3, 14, 5, tzinfo=UTC)
LANGUAGES = ("en", "de", "fr", "es", "it")


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


async def chunks(*messages: Message, **fields: Any) -> list[Chunk]:
    provider = OfflineProvider(now=lambda: AFTERNOON)
    return [chunk async for chunk in provider.stream(ChatRequest(messages=messages, **fields))]


async def answer(*messages: Message, **fields: Any) -> str:
    return "".join(chunk.text for chunk in await chunks(*messages, **fields))


def tool(name: str, **parameters: Any) -> Mapping[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def topic(utterance: str, code: str = "en") -> str | None:
    rule = load_language(code).match(utterance)
    return rule.topic if rule else None


@pytest.mark.parametrize(
    ("utterance", "expected"),
    [
        ("hello", "greeting"),
        ("Hello!", "greeting"),
        ("good morning can you hear me", "can you hear me"),
        ("what time is it", "time"),
        ("what's the time", "time"),
        ("could you tell me the time please", "time"),
        ("what day is it today", "date"),
        ("what time do you open on saturday", "opening hours"),
        ("can i speak to someone about my bill please", "human please"),
        ("hello i would like to book an appointment for monday morning", "facts"),
        ("where is your office and is there parking nearby", "facts"),
        ("stop please wait a moment", "wait"),
        ("yes", "yes"),
        ("no thank you", "no"),
        ("thank you goodbye", "goodbye"),
        ("say that again", "repeat"),
        ("how do i connect a model", "connect a model"),
        ("you are stupid", "insult"),
        ("tell me a joke", "joke"),
    ],
)
def test_a_phrase_leads_to_its_topic(utterance: str, expected: str) -> None:
    assert topic(utterance) == expected


@pytest.mark.parametrize(
    ("utterance", "expected"),
    [
        ("wether forcast", "facts"),
        ("i need an apointment", "facts"),
        ("goodby", "goodbye"),
        ("can you repead that", "repeat"),
    ],
)
def test_a_similar_word_matches(utterance: str, expected: str) -> None:
    assert topic(utterance) == expected


@pytest.mark.parametrize(
    "utterance",
    [
        "what is the capital of france",
        "no idea what you mean by that",
        "who wrote the odyssey",
        "...",
    ],
)
def test_an_utterance_without_a_matching_rule_has_no_topic(utterance: str) -> None:
    assert topic(utterance) is None


@pytest.mark.parametrize(
    ("code", "utterance", "expected"),
    [
        ("de", "Guten Tag", "greeting"),
        ("de", "wie spät ist es", "time"),
        ("de", "tschuess auf wiedersehen", "goodbye"),
        ("fr", "Quelle heure est-il ?", "time"),
        ("fr", "merci beaucoup", "thanks"),
        ("es", "¿Qué hora es?", "time"),
        ("es", "adios", "goodbye"),
        ("it", "che ore sono", "time"),
        ("it", "quando aprite domani", "opening hours"),
    ],
)
def test_other_languages_have_their_own_phrases(code: str, utterance: str, expected: str) -> None:
    assert topic(utterance, code) == expected


@pytest.mark.parametrize(
    ("utterance", "expected"),
    [
        ("what is 12 times 7", "12 times 7 is 84."),
        ("what is twelve times seven", "12 times 7 is 84."),
        ("seven plus five", "7 plus 5 is 12."),
        ("twelve divided by five", "12 divided by 5 is 2.4."),
        ("ten over three", "10 divided by 3 is about 3.333."),
        ("twenty-seven minus three", "27 minus 3 is 24."),
        ("five minus eight", "5 minus 8 is minus 3."),
        ("three hundred and five plus two thousand", "305 plus 2000 is 2305."),
        ("two plus two times three", "2 plus 2 times 3 is 8."),
        ("12*7", "12 times 7 is 84."),
        ("what's 12 x 7?", "12 times 7 is 84."),
        ("10 / 4", "10 divided by 4 is 2.5."),
        ("1,000 plus 1.5", "1000 plus 1.5 is 1001.5."),
        ("one divided by zero", "Nothing can be divided by zero."),
        ("a hundred times a thousand", "100 times 1000 is 100000."),
    ],
)
async def test_sums_are_solved(utterance: str, expected: str) -> None:
    assert await answer(user(utterance)) == expected


@pytest.mark.parametrize(
    ("code", "utterance", "expected"),
    [
        ("de", "was ist siebenundzwanzig plus drei", "27 plus 3 ist 30."),
        ("de", "drei geteilt durch vier", "3 geteilt durch 4 ist 0,75."),
        ("fr", "quatre-vingt-dix-neuf plus un", "99 plus 1 font 100."),
        ("fr", "soixante et onze moins un", "71 moins 1 font 70."),
        ("es", "treinta y dos por dos", "32 por 2 son 64."),
        ("it", "venti per tre", "20 per 3 fa 60."),
    ],
)
async def test_sums_are_solved_in_other_languages(code: str, utterance: str, expected: str) -> None:
    assert await answer(user(utterance), language=code) == expected


@pytest.mark.parametrize(
    "utterance",
    ["call 555-1234", "open 24/7", "2026-03-03", "seven five", "9" * 20 + " plus 1", "plus"],
)
def test_numbers_that_are_no_sum_are_not_solved(utterance: str) -> None:
    assert load_language("en").solve_sum(utterance) is None


@given(a=st.integers(0, 10**6), b=st.integers(0, 10**6))
def test_written_sums_are_right(a: int, b: int) -> None:
    assert load_language("en").solve_sum(f"{a} plus {b}") == f"{a} plus {b} is {a + b}."


@given(st.text(max_size=200), st.sampled_from(LANGUAGES))
def test_no_utterance_raises_an_error(utterance: str, code: str) -> None:
    spoken = load_language(code)
    spoken.match(utterance)
    spoken.solve_sum(utterance)


async def test_it_tells_the_time_of_its_clock() -> None:
    assert await answer(user("what time is it")) == "It is 2:05 PM."
    assert await answer(user("wie spät ist es"), language="de-DE") == "Es ist 14 Uhr 5."


async def test_it_tells_the_date_of_its_clock() -> None:
    assert await answer(user("what day is it")) == "Today is Tuesday, March 3, 2026."


async def test_an_unknown_question_is_answered_with_how_to_connect_a_model() -> None:
    reply = await answer(user("what is the capital of france"))
    assert "what is the capital of france" in reply
    assert "no language model" in reply
    assert "OPENAI_BASE_URL" in reply


async def test_in_speech_the_variable_is_pronounceable() -> None:
    reply = await answer(user("what is the capital of france"), speech=True)
    assert "OpenAI base URL" in reply
    assert "_" not in reply


async def test_a_long_question_is_quoted_in_part_only() -> None:
    reply = await answer(user("who " * 100))
    assert reply.count("who") == 12


@pytest.mark.parametrize("code", LANGUAGES)
async def test_the_same_question_again_gets_other_words(code: str) -> None:
    first = await answer(user("xyzzy"), language=code)
    again = await answer(user("xyzzy"), assistant(first), user("xyzzy"), language=code)
    assert again != first


async def test_the_same_conversation_gets_the_same_answer() -> None:
    conversation = (user("hello"), assistant("Hi!"), user("tell me a joke"))
    assert await answer(*conversation) == await answer(*conversation)


async def test_a_first_turn_without_an_utterance_is_welcomed() -> None:
    reply = await answer({"role": "system", "content": "Greet the caller."})
    assert reply in load_language("en").phrases["welcome"]


async def test_an_empty_utterance_is_answered_with_a_question() -> None:
    assert (
        await answer(user("hello"), assistant("Hi!"), user("  "))
        in (load_language("en").phrases["silence"])
    )


async def test_it_repeats_the_last_reply() -> None:
    reply = await answer(user("hi"), assistant("We open at nine."), user("can you repeat that"))
    assert reply == "We open at nine."


async def test_an_unknown_language_is_answered_in_english() -> None:
    assert await answer(user("xyzzy"), language="tools") == await answer(user("xyzzy"))


async def test_words_come_one_by_one_before_the_finish_reason() -> None:
    *words, last = await chunks(user("what time is it"))
    assert [chunk.text for chunk in words] == ["It", " is", " 2:05", " PM."]
    assert last.finish_reason == "stop"
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (4, 4)


async def test_parts_of_a_message_are_read() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "2 + 2"}]
    assert await answer({"role": "user", "content": parts}) == "2 plus 2 is 4."


@pytest.mark.parametrize("cut", [0, 1, 7, 30])
async def test_its_own_reply_is_continued_exactly(cut: int) -> None:
    whole = await answer(user("what can you do"))
    assert whole[:cut] + await answer(user("what can you do"), prefix=whole[:cut]) == whole


async def test_a_reply_that_another_model_began_is_ended() -> None:
    rest = await answer(user("where is paris"), prefix="Paris is the")
    assert rest == " sorry, I lost my thread there. Could you ask me that again?"
    rest = await answer(user("where is paris"), prefix="Paris is in France. ")
    assert rest.startswith("Sorry, ")


@pytest.mark.parametrize(
    ("utterance", "name"),
    [
        ("what time is it", "get_time"),
        ("what day is it", "get_current_datetime"),
        ("bye", "end_call"),
    ],
)
async def test_an_offered_tool_is_called(utterance: str, name: str) -> None:
    first, last = await chunks(user(utterance), tools=[tool("lookup"), tool(name)])
    assert [(call.name, call.arguments) for call in first.tool_calls] == [(name, "{}")]
    assert last.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [tool("lookup")]},
        {"tools": [tool("get_time", required=["zone"])]},
        {"tools": [tool("get_time")], "tool_choice": "none"},
    ],
)
async def test_without_a_matching_tool_it_answers_itself(fields: Any) -> None:
    assert await answer(user("what time is it"), **fields) == "It is 2:05 PM."


async def test_no_tool_is_called_in_the_middle_of_an_answer() -> None:
    reply = await answer(user("what time is it"), tools=[tool("get_time")], prefix="It is")
    assert reply == " 2:05 PM."


def called(name: str, result: str, call_id: str = "call_offline_1") -> Sequence[Message]:
    function = {"name": name, "arguments": "{}"}
    call = {"id": call_id, "type": "function", "function": function}
    return (
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": result},
    )


async def test_a_call_id_is_not_used_twice() -> None:
    before = (
        user("what time is it"),
        *called("get_time", "14:05"),
        user("and what time is it now"),
    )
    first, _ = await chunks(*before, tools=[tool("get_time")])
    assert first.tool_calls[0].id != "call_offline_1"


@pytest.mark.parametrize(
    ("result", "reply"),
    [
        ("14:05", "It is 14:05."),
        ('{"time": "14:05"}', "It is 14:05."),
        ("2026-03-03T09:30:00+00:00", "It is 9:30 AM."),
        ("2026-03-03T14:05+0100 Tuesday", "It is 2:05 PM."),
        ("It is half past two.", "It is half past two."),
        ('{"error": "no clock"}', load_language("en").phrases["tool_failed"]),
        ("", load_language("en").phrases["tool_failed"]),
    ],
)
async def test_a_tools_result_is_spoken(result: str, reply: str) -> None:
    offered = [tool("get_time")]
    assert (
        await answer(user("what time is it"), *called("get_time", result), tools=offered) == reply
    )


async def test_a_date_from_a_tool_is_spoken_as_a_date() -> None:
    reply = await answer(user("what date is it"), *called("get_date", "2026-03-03"))
    assert reply == "Today is Tuesday, March 3, 2026."


async def test_after_hanging_up_it_says_goodbye() -> None:
    reply = await answer(user("bye"), *called("end_call", "ok"), tools=[tool("end_call")])
    rule = load_language("en").rule("goodbye")
    assert rule is not None
    assert reply in rule.answers


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_rule_can_be_reached_and_answers(code: str) -> None:
    spoken = load_language(code)
    for rule in spoken.rules:
        assert any(spoken.match(" ".join(pattern)) == rule for pattern in rule.patterns), rule.topic
        assert rule.answers or rule.topic in {"time", "date", "repeat"}, rule.topic
        for text in rule.answers:
            text.format(setting="", quote="")


@pytest.mark.parametrize("code", LANGUAGES)
async def test_every_hour_can_be_spoken(code: str) -> None:
    spoken = load_language(code)
    for hour in range(24):
        for minute in (0, 7):
            moment = datetime(2026, 12, 31, hour, minute, tzinfo=UTC)
            assert str((hour - 1) % 12 + 1 if code == "en" else hour) in spoken.format_time(moment)
            assert "2026" in spoken.format_date(moment)


# ── Looking up ───────────────────────────────────────────────────────────────────────────────────

LOOKUP = {
    "type": "function",
    "function": {
        "name": "search_documents",
        "parameters": {
            "type": "object",
            "properties": {"question": {"type": "string"}},
            "required": ["question"],
        },
    },
}
HOURS = (
    "We are closed on Sunday. [shop.md, Opening hours]\n"
    "On Saturday we open at nine in the morning. Come early! We like it. [shop.md, Opening hours]"
)


@pytest.mark.parametrize(
    "question", ["what time do you open on saturday", "how much is an inspection", "any vegan food"]
)
async def test_what_only_a_text_knows_is_looked_up(question: str) -> None:
    first, last = await chunks(user(question), tools=[tool("get_time"), LOOKUP])
    (call,) = first.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("search_documents", {"question": question})
    assert last.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "utterance",
    ["hello", "2 + 2", "how much is 12 times 12", "what time is it", "", "tell me a joke"],
)
async def test_what_it_knows_itself_is_not_looked_up(utterance: str) -> None:
    assert await answer(user(utterance), tools=[LOOKUP])


async def test_the_first_passage_that_fits_the_question_is_spoken_without_its_source() -> None:
    question = user("what time do you open on saturday")
    reply = await answer(question, *called("search_documents", HOURS), tools=[LOOKUP])
    assert reply == "On Saturday we open at nine in the morning. Come early!"


@pytest.mark.parametrize(
    "result", ["The documents say nothing about that.", "", "We are closed on Sunday. [shop.md]"]
)
async def test_without_a_passage_that_fits_it_says_what_it_says_without_a_tool(result: str) -> None:
    question = user("what time do you open on saturday")
    reply = await answer(question, *called("search_documents", result), tools=[LOOKUP])
    assert reply == await answer(question)
