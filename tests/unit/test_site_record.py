"""A site's record: which origins it takes, and what an edit makes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.errors import ConfigurationError
from llm_router.voice.site import SiteRecord, changed, origin_of, parse_site

SHOP = parse_site({"name": "shop", "origins": ["https://shop.example"]})


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://Shop.Example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        (" https://shop.example ", "https://shop.example"),
    ],
)
def test_an_origin_is_what_browsers_send(written: str, sent: str) -> None:
    assert origin_of(written) == sent


@pytest.mark.parametrize(
    "text",
    [
        "shop.example", "https://", "https://shop.example/page", "ftp://shop.example", "*", "null",
        "https://user@shop.example", "https://shop.example:0", "https://shop.example:70000",
        "https://*.example", "https://shop example", "https://shop.example?x",
        "javascript:alert(1)", "https://[::1", "",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="site 'shop': origins: "):
        parse_site({"name": "shop", "origins": [text]})


@given(st.text(max_size=60))
def test_any_text_is_an_origin_that_stays_as_it_is_or_is_refused(text: str) -> None:
    try:
        origin = origin_of(text)
    except ValueError:
        return
    assert origin_of(origin) == origin
    assert origin.isascii()


def test_an_edit_changes_the_fields_named_and_null_clears_one() -> None:
    limited = changed(SHOP, {"calls_at_once": 5, "modes": ["text"]})
    assert limited.calls_at_once == 5
    assert limited.modes == {"text"}
    assert changed(limited, {"calls_at_once": None, "modes": None}) == SHOP


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"calls_at_once": 0}, "calls_at_once: "),
        ({"modes": []}, "modes: "),
        ({"modes": ["video"]}, "modes.0: "),
        ({"origins": []}, "origins: "),
        ({"spend_per_day": 0}, "spend_per_day: "),
        ({"longest_call": 3}, "longest_call: "),
        ({"name": "other"}, "name cannot be changed"),
        ({"colour": "red"}, "colour: "),
    ],
)
def test_an_edit_that_makes_no_sense_names_the_field(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        changed(SHOP, changes)


def test_modes_are_sent_in_one_order_by_all_processes() -> None:
    for order in (("text", "voice"), ("voice", "text")):
        sent = SHOP.model_copy(update={"modes": order}).model_dump(mode="json")
        assert sent["modes"] == ["text", "voice"]


def test_the_same_origin_twice_counts_once() -> None:
    twice = {"name": "a", "origins": ["https://a.example", "https://A.example/"]}
    assert SiteRecord.model_validate(twice).origins == ("https://a.example",)
