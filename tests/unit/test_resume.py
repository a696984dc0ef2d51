"""The seam between the words already given out and their continuation."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_router.connections.record import Continuation
from llm_router.providers.base import ASK_TO_GO_ON
from llm_router.routing.resume import Seam, resume_request
from llm_router.types import ChatRequest

SAID = "We open at nine in the"
REST = "morning, and we close at six."
WHOLE = f"{SAID} {REST}"
EXACT: tuple[Continuation, ...] = ("flags", "trailing", "prefix", "partial")
NUMBERED = [
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "theta", "kappa", "lambda", "omega"),
    *("sigma", "tau"),
]
"""Different words of which none begins another, so that a restart is unmistakable."""


def joined(said: str, *chunks: str, by: Continuation = "words") -> str:
    seam = Seam(said, by)
    return said + "".join(map(seam.feed, chunks)) + seam.flush()


def cut(text: str, places: list[int]) -> list[str]:
    marks = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    return [text[a:b] for a, b in pairwise(marks)]


# ── However the text is cut ──────────────────────────────────────────────────────────────────────

REMARKS = st.sampled_from(
    [
        *("", "", "Sure! ", "Sure, ", "Certainly: ", "Sure, continuing from where I left off: "),
        *(
            "Of course.\n\n",
            "Here's the rest:\n",
            "Okay. ",
            "Sorry about that. ",
            "Let me continue. ",
        ),
        *("As I was saying, ", "Right, I'll pick up where I left off... ", "Surely ", "I will "),
    ]
)
ANSWERS = st.lists(
    st.sampled_from(
        [
            *("we", "open", "at", "nine", "in", "the", "The", "A", "And", "To", "Tom", "Then"),
            *("morning,", "six.", "Sure,", "—", "3.5", "\n", " ", "continue", "營業時間", "I"),
        ]
    ),
    max_size=12,
).map(" ".join)
GIVEN = st.sampled_from([SAID, "Yes", f"{SAID} ", "We open at ni", "Hello. ", "We 5", "我們的"])
RESTARTS = st.sampled_from(["", "", SAID, "at nine in the ", "the ", "We open at nine", "Yes"])


@given(
    GIVEN,
    st.sampled_from([*EXACT, "words"]),
    st.tuples(REMARKS, REMARKS, REMARKS, RESTARTS, ANSWERS).map("".join),
    st.lists(st.integers(0, 160), max_size=12),
)
@example("We can", "words", "cannot do", [3])
@example("We open", "words", "Andrew is in", [1])
@example(SAID, "words", "Sure! Let me continue: morning.", [5, 6, 9, 16, 23])
@example(SAID, "words", f"Sure, continuing: {SAID} morning.", [18, 30])
@example("Yes", "flags", "Yesterday", [3])
def test_a_continuation_joins_the_same_however_it_is_cut(
    said: str, by: Continuation, text: str, places: list[int]
) -> None:
    assert joined(said, *cut(text, places), by=by) == joined(said, text, by=by)


@given(GIVEN, st.sampled_from([*EXACT, "words"]), REMARKS, ANSWERS)
def test_words_given_out_are_never_taken_back(
    said: str, by: Continuation, talk: str, answer: str
) -> None:
    assert joined(said, talk + answer, by=by).startswith(said)


# ── Asked in words ───────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 9), st.integers(0, 2), st.data())
def test_a_restart_at_any_word_repeats_nothing(
    words_said: int, letters: int, data: st.DataObject
) -> None:
    whole = " ".join(NUMBERED)
    said = " ".join(NUMBERED[:words_said])
    if letters:  # the stream died inside the next word
        said += " " + NUMBERED[words_said][: letters + 1]
    again = data.draw(st.integers(0, words_said - (0 if letters else 1)))
    assert joined(said, " ".join(NUMBERED[again:])) == whole


@given(st.lists(st.sampled_from(["lorem", "ipsum", "dolor", "amet", "erat"]), min_size=1))
def test_a_continuation_that_repeats_nothing_is_given_whole(words: list[str]) -> None:
    assert joined(SAID, " ".join(words)) == f"{SAID} {' '.join(words)}"


@pytest.mark.parametrize(
    "again", [WHOLE, f"Sure! {WHOLE}", WHOLE.upper(), f"at  nine in\nthe {REST}"]
)
def test_a_model_that_starts_over_is_cut_to_what_is_missing(again: str) -> None:
    assert joined(SAID, again).lower() == WHOLE.lower()


@pytest.mark.parametrize(
    "talk",
    [
        *("Sure! ", "Sure, ", "Of course. ", "Certainly: ", "Sure thing! Continuing: "),
        *("Sure, continuing from where I left off: ", "Sure! Here's the rest:\n\n"),
        *("Continuing from where we left off... ", "Let me continue. ", "I'll continue: "),
        *("Okay, I'll pick up where I left off. ", "Sorry about that! Let me go on. "),
        *("Here is the rest of my answer: ", "As I was saying, ", "The rest of the message:\n"),
        *(
            "Here\u2019s the rest: ",
            "Apologies for the interruption. I\u2019ll resume from there. ",
        ),
    ],
)
@pytest.mark.parametrize("rest", [REST, WHOLE])
def test_remarks_about_continuing_are_not_said(talk: str, rest: str) -> None:
    assert joined(SAID, *(f"{talk}{rest}"[i : i + 4] for i in range(0, 200, 4))) == WHOLE


@pytest.mark.parametrize(
    ("said", "rest"),
    [
        ("You can", "pick up your order at nine. It is ready."),
        ("Now I will", "continue to the next step. Please hold."),
        ("The weather is", "certain to be fine. Bye."),
        ("The road goes", "where the river bends, and then on."),
        ("Is that", "right? I can change it."),
        ("I hope", "I will be there at 3:30. Or at four."),
        ("We are", "okay. And you?"),
    ],
)
def test_an_answer_that_only_sounds_like_a_remark_is_said(said: str, rest: str) -> None:
    assert joined(said, *(word + " " for word in rest.split(" "))).strip() == f"{said} {rest}"


@pytest.mark.parametrize(
    ("said", "rest", "whole"),
    [
        ("We open", "at nine.", "We open at nine."),
        ("We open", " at nine.", "We open at nine."),
        ("We open ", " at nine.", "We open at nine."),
        ("We open", ", and close.", "We open, and close."),
        ("We open", '"early".', 'We open "early".'),
        ("We open", "At nine.", "We open at nine."),
        ("We met", "Andrew.", "We met Andrew."),
        ("And so", "I did.", "And so I did."),
        ("We open.", "At nine.", "We open. At nine."),
        ('He said "no."', "The end.", 'He said "no." The end.'),
        ("We open at ni", "nine.", "We open at nine."),
        ("so we can", "can do it", "so we can do it"),
        ("so we can", "cannot do it", "so we cannot do it"),
        ("call five five", "five one", "call five five five one"),
        ("call 5", "5 1", "call 5 5 1"),
        ("call 555-0101", "555-0101 now", "call 555-0101 now"),
        ("it was very", "very cold", "it was very very cold"),
        ("我們早上九點", "開門。", "我們早上九點開門。"),
        ("我們早上九點", "早上九點開門。", "我們早上九點開門。"),
    ],
)
def test_the_seam_reads_well(said: str, rest: str, whole: str) -> None:
    assert joined(said, rest) == whole


@pytest.mark.parametrize("last", ["A", "The", "sure", "Okay", "I'll", "at"])
def test_text_still_held_back_at_the_end_is_said(last: str) -> None:
    assert joined("We met", last).lower() == f"we met {last.lower()}"


def test_an_ordinary_continuation_is_not_held_back() -> None:
    seam = Seam(SAID, "words")
    assert [seam.feed(word) for word in ("morning", ", and", " so on")] == [
        *(" morning", ", and", " so on")
    ]


def test_words_flow_as_soon_as_the_remark_is_over() -> None:
    seam = Seam(SAID, "words")
    chunks = ["Sure", "! ", "Let me", " continue", ":", " morning", ", and"]
    assert [seam.feed(chunk) for chunk in chunks] == ["", "", "", "", "", " morning", ", and"]
    seam = Seam(SAID, "words")
    assert [seam.feed(chunk) for chunk in ["Sure", ", ", "morning"]] == ["", "", " morning"]


# ── Continued exactly ────────────────────────────────────────────────────────────────────────────


@given(
    st.text("abc", min_size=2).map(lambda text: "x" + text),
    st.text(" abcABC,.", min_size=1).filter(str.strip),
    st.sampled_from(EXACT),
)
def test_an_exact_continuation_is_not_changed(said: str, rest: str, by: Continuation) -> None:
    assert joined(said, rest, by=by) == said + rest


@pytest.mark.parametrize("by", EXACT)
@pytest.mark.parametrize("said", ["Yes", "No, no", SAID, "We open at ni", "We open. We"])
def test_a_prefix_that_the_server_repeats_is_given_once(said: str, by: Continuation) -> None:
    assert joined(said, f"{said}xt week, perhaps.", by=by) == f"{said}xt week, perhaps."
    assert joined(said, f"{said}, perhaps.", by=by) == f"{said}, perhaps."


@pytest.mark.parametrize("by", EXACT)
def test_words_of_an_exact_continuation_that_come_twice_by_chance_stay(by: Continuation) -> None:
    assert joined("no", " no, not at all", by=by) == "no no, not at all"
    assert joined("1", "1 percent", by=by) == "11 percent"


def test_a_repeated_prefix_may_end_in_a_mark() -> None:
    assert joined("Yes.", "Yes. Of course.", by="flags") == "Yes. Of course."


def test_a_space_at_the_cut_is_not_doubled() -> None:
    assert joined("We open ", " at nine.", by="flags") == "We open at nine."


# ── A first reply, and the request ───────────────────────────────────────────────────────────────


def test_a_first_reply_loses_only_the_space_before_it() -> None:
    assert joined("", " \n", " We open", " at nine. ") == "We open at nine. "


@pytest.mark.parametrize("by", EXACT)
def test_a_server_that_can_continue_gets_the_words_as_a_prefix(by: Continuation) -> None:
    request = ChatRequest(messages=[{"role": "user", "content": "When?"}])
    asked = resume_request(request, SAID, by)
    assert asked.prefix == SAID
    assert asked.messages == request.messages


def test_any_other_server_is_asked_in_words() -> None:
    request = ChatRequest(messages=[{"role": "user", "content": "When?"}], livekit_context=object())
    asked = resume_request(request, SAID, "words")
    assert asked.prefix == ""
    assert asked.livekit_context is None, "it does not hold the added messages"
    assert list(asked.messages) == [
        {"role": "user", "content": "When?"},
        {"role": "assistant", "content": SAID},
        {"role": "user", "content": ASK_TO_GO_ON},
    ]
