"""Numbers, extensions and SIP addresses: which are taken, and how they are compared."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_router.voice.phone.numbers import (
    EMERGENCY,
    as_uri,
    comparable,
    is_emergency,
    masked,
    parse_address,
    parse_number,
    same_for_people,
)
from llm_router.voice.phone.plan import CallPlan
from llm_router.voice.phone.rooms import called_number, is_phone_room

E164 = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+4930123456", "+4930123456"),
        (" +49 (30) 123-456 ", "+4930123456"),
        ("+49\u00a030\u2013123.456", "+4930123456"),
        ("+49 30/123456", "+4930123456"),
        ("tel:+49-30-123456", "+4930123456"),
        ("100", "100"),
        ("*97", "*97"),
        ("reception", "reception"),
    ],
)
def test_a_number_is_read_as_people_write_it(written: str, number: str) -> None:
    assert parse_number(written) == number


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("+4930123456", "+4930123456"),
        ("0049 30 123456", "+4930123456"),
        ("030123456", "030123456"),
        ("100", "100"),
        ("001", "001"),
        ("001234", "001234"),
        ("0001234567", "0001234567"),
        ("anonymous", "anonymous"),
        ("+00", "+00"),
        ("Ann\u00e9 00", "Ann\u00e9 00"),
    ],
)
def test_a_number_is_one_however_carriers_send_it(sent: str, number: str) -> None:
    assert same_for_people(sent) == number


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0049 30 123456", "+4930123456"),
        ("030 123456", "has no country code"),
        ("+49", "7 to 15 digits"),
        ("+49 (0)30 123456", "as it is dialed from abroad"),
        ("+0123456789", "7 to 15 digits"),
        ("+49123456789012345", "7 to 15 digits"),
        ("", "is no number"),
        ("+49 30 CALLNOW", "is no number"),
        ("'; drop table", "is no number"),
        ("+४९३०१२३४५६", "is no number"),
    ],
)
def test_what_is_no_number_is_refused_with_how_to_write_it(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_number(written)


@given(E164, st.lists(st.tuples(st.integers(1, 15), st.sampled_from(" -().")), max_size=6))
def test_formatting_never_changes_a_number(number: str, marks: list[tuple[int, str]]) -> None:
    written = number
    for place, mark in marks:
        written = written[:place] + mark + written[place:]
    assume("(0)" not in written)
    assert parse_number(written) == number
    assert comparable(number.removeprefix("+")) == comparable(number) == number


@given(st.text(max_size=300))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert address.isprintable()
    assert not set(address) & set(' <>"\r\n')
    assert parse_address(address) == address


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("sip:desk@10.0.0.5", "sip:desk@10.0.0.5"),
        ("sips:a.b@example.com:5061;transport=tls", "sips:a.b@example.com:5061;transport=tls"),
        ("sip:[2001:db8::1]:5060", "sip:[2001:db8::1]:5060"),
        ("tel:+49-30-123456", "+4930123456"),
        ("+49 30 123456", "+4930123456"),
    ],
)
def test_an_address_is_a_number_or_a_uri(written: str, address: str) -> None:
    assert parse_address(written) == address


@pytest.mark.parametrize(
    "written",
    ["sip:", "sip:a b@c", "sip:x@y\r\nVia: z", "http://x", "sip:<a>@b", "sip:%39%31%31@h"],
)
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        parse_address(written)


@given(
    st.sampled_from(sorted(EMERGENCY)),
    st.sampled_from(["", "0", "9", "00", "90", "+", "*", "#", "0*", "*31#"]),
    st.sampled_from(["", "#", "*", "##", ";x=y"]),
    st.sampled_from(["{}", "sip:{}@10.0.0.5", "SIP:{}@h", " {}"]),
)
def test_no_emergency_number_can_be_called_however_it_is_written(
    number: str, before: str, after: str, address: str
) -> None:
    for digits in (number, f"{number[0]}.{number[1:]}"):
        assert is_emergency(address.format(f"{before}{digits}{after}"))


@pytest.mark.parametrize("number", ["+15550911", "desk112", "1120", "2911", "sip:100@10.0.0.5"])
def test_other_numbers_can_be_called(number: str) -> None:
    assert not is_emergency(number)


@pytest.mark.parametrize("number", ["100", "101", "102", "103", "106", "108", "120", "10111"])
def test_a_planned_call_goes_to_the_emergency_number_of_no_country(number: str) -> None:
    for written in (number, f"0{number}", f"{number}#"):
        with pytest.raises(ValueError, match="emergency"):
            CallPlan(number=written)
    assert CallPlan(number="201").number == "201"


def test_a_transfer_gets_a_uri() -> None:
    assert as_uri("+15550100") == "tel:+15550100"
    assert as_uri("sip:desk@10.0.0.5") == "sip:desk@10.0.0.5"
    assert as_uri("100", "10.0.0.5:5060") == "sip:100@10.0.0.5:5060"
    with pytest.raises(ValueError, match="extension"):
        as_uri("100")


@given(E164)
def test_a_log_never_gets_more_than_three_digits(number: str) -> None:
    assert masked(number) == f"...{number[-3:]}"
    assert not re.search(r"\d", masked("100"))


@given(E164, st.from_regex(r"[A-Za-z0-9]{12}", fullmatch=True))
def test_a_room_says_which_number_was_called(number: str, chance: str) -> None:
    room = f"phone-_{number}_{chance}"
    assert is_phone_room(room)
    assert called_number(room) == number


@pytest.mark.parametrize("room", ["", "call-1", "phone-", "phone-_", "phone-out-1", "phone-_+1"])
def test_another_room_says_nothing(room: str) -> None:
    assert called_number(room) == ""
