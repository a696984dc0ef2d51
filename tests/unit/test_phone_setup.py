"""The telephone's file: what is read, and how a fault in it is named."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.phone.setup_file import load_phone
from agent.phone.transfer.destination import telephones_of, unreachable
from agent.phone.wanted import wanted_objects
from llm_router.errors import ConfigurationError
from llm_router.voice.phone.setup import (
    Media,
    Outbound,
    Person,
    PhoneNumber,
    PhoneSetup,
    SipService,
    Trunk,
)
from llm_router.voice.phone.setup_file import MAX_SIZE, check_phone, read_phone

SHIPPED = Path(__file__).parents[2] / "config" / "phone.toml"
TRUNK = '[[trunks]]\nname = "main"\n'
SPARE = '[[trunks]]\nname = "spare"\n'
OTHERS = 'allowed_addresses = ["10.0.0.1"]\nother_numbers = "default"\n'
ON_MAIN = '[[numbers]]\nnumber = "+15550100"\ntrunk = "main"\n'
SECRETS = {"CARRIER_PASSWORD": "s3cret-out", "CARRIER_IN_PASSWORD": "s3cret-in"}


def read(text: str, **environ: str) -> PhoneSetup:
    return read_phone(text, "phone.toml", environ)


def refusal(text: str, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(text, **environ)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_the_shipped_file_answers_the_number_of_the_demo_alone() -> None:
    setup = load_phone(SHIPPED, {})
    assert [each.number for each in setup.numbers] == ["+15550100"]
    assert (setup.outbound, setup.people, setup.hours) == (None, (), {})
    assert not setup.trunks[0].is_open


def test_every_example_in_the_shipped_file_is_valid_when_its_sign_is_removed() -> None:
    text = re.sub(r"(?m)^#(?! )", "", SHIPPED.read_text(encoding="utf-8"))
    setup = read_phone(text, "phone.toml", SECRETS)
    assert [each.name for each in setup.trunks] == ["demo", "carrier", "second"]
    assert setup.trunks[1].password
    assert setup.trunks[1].password.get_secret_value() == "s3cret-out"
    assert [each.number for each in setup.numbers] == ["+15550100", "+4930123456"]
    assert setup.outbound
    assert setup.outbound.allowed_prefixes == ("+49",)
    assert [each.name for each in setup.people] == ["Mara"]


def test_every_key_is_in_the_shipped_file() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    uncommented = re.sub(r"(?m)^#(?! )", "", text)
    for record in (Trunk, PhoneNumber, Outbound, Person, Media, SipService):
        for name in record.model_fields:
            assert re.search(rf"(?m)^{name} = ", uncommented), f"{record.__name__}.{name}"


def test_every_file_of_the_page_is_valid() -> None:
    page = (SHIPPED.parents[1] / "docs" / "phone.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert [read_phone(block, "page", SECRETS).trunks[0].name for block in blocks] == [
        "carrier", "twilio", "telnyx", "asterisk",
    ]  # fmt: skip


def test_the_second_carrier_of_the_page_on_calls_out_is_valid() -> None:
    page = (SHIPPED.parents[1] / "docs" / "calls-out.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    setup = read_phone(block, "page", SECRETS)
    assert [trunk.name for trunk in setup.trunks_out] == ["carrier", "second"]


def test_no_file_is_no_telephone(tmp_path: Path) -> None:
    assert load_phone(tmp_path / "phone.toml", {}) == PhoneSetup()


def test_a_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "phone.toml"
    file.write_bytes(TRUNK.encode("utf-16"))
    with pytest.raises(ConfigurationError, match=r"phone\.toml: is not UTF-8; save it as UTF-8"):
        load_phone(file, {})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_phone(tmp_path, {})


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_and_line_ends_of_windows_are_read(tmp_path: Path, mark: str) -> None:
    file = tmp_path / "phone.toml"
    text = f'{mark}{TRUNK}\n[[numbers]]\nnumber = "+1 555 0100"\n'
    file.write_bytes(text.replace("\n", "\r\n").encode())
    assert load_phone(file, {}).numbers[0].number == "+15550100"
    assert read(text).numbers[0].number == "+15550100"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[trunks", "is not valid TOML"),
        ('trunks = "x"', "[trunks]: should be tables that begin with [[trunks]], in double"),
        ('[trunks]\nname = "x"', "[trunks]: should be tables that begin with [[trunks]]"),
        ("[[trunks]]", "[[trunks]] 1: name: is missing; write it"),
        (f"{TRUNK}{ON_MAIN}keys = {{ '10' = 'x' }}", "keys.10: should be one key: 0 to 9, * or #"),
        (
            f'{TRUNK}[outbound]\ntrunk = "main"\ncaller_id = "100"\nallowed_prefixes = ["0049"]',
            'allowed_prefixes: should be + and digits alone, such as "+49"',
        ),
        (
            '[[trunks]]\nname = "Main Line"',
            '[[trunks]] 1 "Main Line": name: should be small letters',
        ),
        (f'{TRUNK}pasword = "x"', "there is no key 'pasword'; did you mean password?"),
        ('[[trunk]]\nname = "x"', "there is no key 'trunk'; did you mean trunks?"),
        ("[zebra]", "there is no key 'zebra'; the keys are media, service, trunks"),
        (f'{TRUNK}allowed_addresses = ["carrier"]', '"main": allowed_addresses: is no address'),
        (f"{TRUNK}ring_for = 0", '[[trunks]] 1 "main": ring_for: should be greater'),
        (f'{TRUNK}ring_for = "30"', '[[trunks]] 1 "main": ring_for: should be a valid number'),
        (f'{TRUNK}address = "sip:x@y"', "The transport is a key of its own"),
        (f'{TRUNK}headers = ["X Account"]', "is no name of a header"),
        (f'{TRUNK}headers = "X-Account"', 'headers: should be a list in brackets, such as ["..."]'),
        (f'{TRUNK}username = "a"', "username and password belong together"),
        (f'{TRUNK}inbound_username = "a"', "inbound_username and inbound_password belong together"),
        (f'{TRUNK}other_numbers = "default"', "other_numbers takes any call, so say whose"),
        (f"{TRUNK}{TRUNK}", "[[trunks]] 2: name: 'main' is there already, in [[trunks]] 1"),
        ('[[numbers]]\nnumber = "+15550100"', "[[numbers]] +15550100: trunk: there is none"),
        (f'{TRUNK}[[numbers]]\nnumber = "555 0100 22"', "has no country code"),
        (f"{TRUNK}[[numbers]]\nnumber = 15550100", "number: should be in quotes"),
        (
            f'{TRUNK}[[numbers]]\nnumber = "+1 555 0100"\n[[numbers]]\nnumber = "+1-555-0100"',
            "[[numbers]] 2: number: '+15550100' is there already, in [[numbers]] 1",
        ),
        (
            f"{TRUNK}{SPARE}{ON_MAIN}{ON_MAIN.replace('main', 'spare')}",
            "'+15550100' is there already, in [[numbers]] 1; remove one of them",
        ),
        (
            f'{TRUNK}[[trunks]]\nname = "spare"\n[[numbers]]\nnumber = "+15550100"',
            'trunk: there are several; write trunk = "<name>"',
        ),
        (
            f'{TRUNK}[[numbers]]\nnumber = "+15550100"\ntrunk = "man"',
            "trunk: there is no 'man'; write one of main",
        ),
        (
            f'{TRUNK}[[numbers]]\nnumber = "+15550100"\nhours = "shop"',
            "hours: there are no 'shop'; add a [hours.<name>]",
        ),
        ('[hours.shop]\nmonday = ["9:00-18:00"]', "[hours.shop]: timezone: is missing"),
        ('[hours.shop]\ntimezone = "Berlin"', "[hours.shop]: timezone: is no known time zone"),
        ('[hours.shop]\ntimezone = "../etc/passwd"', "is no known time zone"),
        ('[hours.shop]\ntimezone = ""', "is no known time zone"),
        (
            '[hours.shop]\ntimezone = "UTC"\nmonday = ["nine to five"]',
            '[hours.shop]: monday: is no range of hours; write one such as "9:00-18:00"',
        ),
        ('[hours.shop]\ntimezone = "UTC"\nmonday = "9:00-18:00"', "monday: should be a list in"),
        ('[hours.shop]\ntimezone = "UTC"\nmonday = ["9:00-25:00"]', "is outside of the day"),
        ('[hours.shop]\ntimezone = "UTC"\nmonday = ["9:00-9:00"]', 'write "0:00-24:00"'),
        ('[hours.shop]\ntimezone = "UTC"\nholidays = ["2026-02-30"]', "is no day"),
        ('[hours.shop]\ntimezone = "UTC"\nmondays = []', "did you mean monday?"),
        (
            f'{TRUNK}[outbound]\ntrunk = "main"\ncaller_id = "+15550100"',
            "[outbound]: the trunk 'main' has no address for calls out",
        ),
        (f'{TRUNK}address = "sip.example.com"', "address: a call out shows a number"),
        (
            "".join(f"{each}{OTHERS}" for each in (TRUNK, SPARE)),
            "[[trunks]] 'spare': other_numbers: 'main' has it already",
        ),
        ('[[people]]\nname = "Mara"\nnumber = "112"', "is an emergency number"),
        (
            '[[people]]\nname = "Mara"\nnumber = "100"\n[[people]]\nname = "mara"\nnumber = "101"',
            "[[people]] 2: name: 'mara' is there already",
        ),
        ("a = " + "[" * 5000 + "]" * 5000, "nested too deep"),
        ("x = [" + "1," * 300_001 + "]", "holds more than 300,000 values"),
    ],
)
def test_a_fault_is_named_with_file_place_and_cure(text: str, said: str) -> None:
    message = refusal(text)
    assert said in message
    assert re.match(r"phone\.toml(, line \d+)?: ", message)


FILE = f"""\
# Lines
{TRUNK}ring_for = 30
{SPARE}
[hours.shop]
timezone = "UTC"
monday = ["9:00-18:00"]

[[numbers]]
number = "+15550100"
trunk = "main"
hours = "shop"

[[numbers]]
number = "+15550101"
trunk = "spare"
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("ring_for = 30", "ring_for = 0", 4),
        ('name = "spare"', 'name = "Spare Line"', 6),
        ('name = "spare"', 'name = "main"', 6),
        ('name = "spare"', "", 5),
        ('monday = ["9:00-18:00"]', 'monday = ["9-25"]', 10),
        ('"UTC"', '"Berlin"', 9),
        ('timezone = "UTC"', "", 8),
        ("+15550101", "+1555010a", 18),
        ("+15550101", "+1 555 0100", 18),
        ('trunk = "spare"', 'truck = "spare"', 19),
        ("+15550101", "${SHOP}", 18),
    ],
)
def test_a_fault_is_named_with_its_line(old: str, new: str, line: int) -> None:
    assert read(FILE).numbers
    assert refusal(FILE.replace(old, new)).startswith(f"phone.toml, line {line}: [")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("+٤٩٣٠١٢٣٤٥٦", "is no number; write + and 7 to 15 digits"),
        ("+４９３０１２３４５６", "is no number; write + and 7 to 15 digits"),
        ("49 30 123456", "has no country code"),
        ("4.930123456E9", "is no number"),
        ("'+4930123456", "is no number"),
        ("", "is no number"),
    ],
)
def test_a_number_in_signs_that_no_carrier_takes_is_refused(text: str, said: str) -> None:
    assert said in refusal(f'{TRUNK}[[numbers]]\nnumber = "{text}"')


@pytest.mark.parametrize(
    "text", ["\u202a+4930123456\u202c", "+49\u00a030\u2011123456", "+49 30/12 34-56"]
)
def test_a_number_as_lists_of_contacts_copy_it_is_read(text: str) -> None:
    assert read(f'{TRUNK}[[numbers]]\nnumber = "{text}"').numbers[0].number == "+4930123456"


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "phone.toml"
    file.write_text("#" * (MAX_SIZE + 10))
    with pytest.raises(ConfigurationError, match="is too long"):
        load_phone(file, {})


def test_passwords_are_those_of_variables_and_never_shown() -> None:
    login = 'address = "sip.example.com"\nusername = "a"\npassword = "${CARRIER_PASSWORD}"\n'
    text = f"{TRUNK}{login}{ON_MAIN}"
    setup = read(text, **SECRETS)
    password = setup.trunks[0].password
    assert password
    assert password.get_secret_value() == "s3cret-out"
    assert "s3cret" not in f"{setup} {setup!r} {setup.model_dump_json()}"


def test_a_password_whose_variable_is_not_set_stops_only_what_needs_it() -> None:
    login = 'address = "sip.example.com"\nusername = "a"\npassword = "${CARRIER_PASSWORD}"\n'
    mara = '[[people]]\nname = "Mara"\nnumber = "100"\n[outbound]\ntrunk = "main"\n'
    text = f'{TRUNK}{login}{ON_MAIN}{mara}caller_id = "+15550100"'
    setup = read(text)
    assert setup == read(text)
    assert setup != read(text, **SECRETS)
    why = (
        'phone.toml: [[trunks]] 1 "main": password: the variable CARRIER_PASSWORD is not set;'
        " write it into .env"
    )
    assert unreachable(setup) == {"Mara": why}
    with pytest.raises(ConfigurationError, match="CARRIER_PASSWORD is not set"):
        wanted_objects(setup, "desk")
    assert unreachable(read(text, **SECRETS)) == {}


def test_a_telephone_rings_no_longer_than_livekit_waits() -> None:
    out = f'{TRUNK}address = "x.example"\n[outbound]\ntrunk = "main"\ncaller_id = "+15550100"\n'
    assert read(f"{out}ring_for = 75").outbound
    assert "[outbound]: ring_for: should be at most 75: LiveKit" in refusal(f"{out}ring_for = 75.1")


@pytest.mark.parametrize("number", ["100", "sip:mara@10.0.0.5"])
def test_a_person_who_is_called_has_the_longest_call_of_outbound(number: str) -> None:
    setup = read(
        f'{TRUNK}address = "x.example"\n[outbound]\ntrunk = "main"\ncaller_id = "+15550100"\n'
        f'max_minutes = 5\n[[people]]\nname = "Mara"\nnumber = "{number}"'
    )
    [telephone] = telephones_of(setup.people[0], setup)
    assert telephone.max_minutes == 5


TWO_WAYS = f"""
{TRUNK}address = "first.example"

[[trunks]]
name = "second"
address = "second.example"
username = "u"
password = "${{SECOND}}"
caller_id = "+15550199"

[outbound]
trunk = "main"
fallback = ["second"]
caller_id = "+15550100"

[[people]]
name = "Mara"
number = "+4930123457"
"""


def test_a_person_is_called_by_each_trunk_in_turn_that_has_its_password() -> None:
    setup = read(TWO_WAYS, SECOND="x")
    ways = telephones_of(setup.people[0], setup)
    assert [(way.host, way.caller_id) for way in ways] == [
        ("first.example", "+15550100"),
        ("second.example", "+15550199"),
    ]
    setup = read(TWO_WAYS)
    [way] = telephones_of(setup.people[0], setup)
    assert way.host == "first.example"


def test_a_fallback_without_a_number_of_its_own_shows_that_of_calls_out() -> None:
    setup = read(TWO_WAYS.replace('caller_id = "+15550199"', ""), SECOND="x")
    assert [setup.caller_ids(trunk) for trunk in setup.trunks_out] == [["+15550100"]] * 2


@pytest.mark.parametrize(
    ("fallback", "fault"),
    [
        ('["third"]', "[outbound]: fallback: there is no 'third'"),
        ('["main"]', "[outbound]: fallback: 'main' is there twice"),
        ('["second", "second"]', "[outbound]: fallback: 'second' is there twice"),
        ('"second"', "[outbound]: fallback: should be a list in brackets"),
    ],
)
def test_a_fault_of_the_fallback_is_named(fallback: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=rf", line \d+: {re.escape(fault)}"):
        read(TWO_WAYS.replace('["second"]', fallback), SECOND="x")


@pytest.mark.parametrize("value", ['"s3cret-out"', '"x${CARRIER_PASSWORD}"', '""'])
def test_a_password_in_the_file_itself_is_refused_and_not_repeated(value: str) -> None:
    message = refusal(f'{TRUNK}username = "a"\npassword = {value}', **SECRETS)
    assert 'password: write "${VARIABLE}"' in message
    assert "s3cret" not in message


def test_a_wrong_key_below_a_secret_shows_no_value() -> None:
    text = f'{TRUNK}username = "a"\npassword = "${{CARRIER_PASSWORD}}"\nring_for = "s3cret"'
    assert "s3cret" not in refusal(text, **SECRETS)


def test_any_value_may_be_a_variable() -> None:
    setup = read(f'{TRUNK}[[numbers]]\nnumber = "${{SHOP}}"', SHOP="+1 555 0100")
    assert setup.numbers[0].number == "+15550100"


def test_quotes_and_other_signs_in_values_are_read_as_they_are() -> None:
    setup = read("""[[people]]\nname = 'Mara "the boss" O\u2019Neil'\nnumber = '100'""")
    assert setup.people[0].name == 'Mara "the boss" O\u2019Neil'


def test_a_number_is_found_as_carriers_send_it() -> None:
    setup = read(
        f'{TRUNK}[[numbers]]\nnumber = "+15550100"\n[[numbers]]\nnumber = "100"'
        '\n[[numbers]]\nnumber = "001"'
    )
    for sent in ("+15550100", "15550100", "1 (555) 01-00", "0015550100"):
        found = setup.find(sent)
        assert found
        assert found.number == "+15550100"
    extension = setup.find("100")
    assert extension
    assert setup.trunk_of(extension).name == "main"
    begins_with_zeros = setup.find("001")
    assert begins_with_zeros
    assert begins_with_zeros.number == "001"
    assert setup.find("+15550101") is None
    assert setup.find("") is None


def test_ten_thousand_numbers_are_read_and_found() -> None:
    tables = (f'[[numbers]]\nnumber = "+1555{n:07}"\nassistant = "a{n}"\n' for n in range(10_000))
    setup = read(TRUNK + "".join(tables))
    found = setup.find("15550009999")
    assert found
    assert found.assistant == "a9999"


VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=20) | st.floats() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
TABLES = ("media", "service", "trunks", "numbers", "hours", "outbound", "people")
KEYS = ("name", "number", "trunk", "hours", "password", "timezone", "monday", "special")


@given(
    st.dictionaries(
        st.sampled_from(TABLES),
        VALUES
        | st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4), max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
        max_size=4,
    )
)
def test_any_value_anywhere_is_read_or_refused_in_one_line(tables: dict[str, object]) -> None:
    try:
        check_phone(tables, "phone.toml", {})
    except ConfigurationError as error:
        said = str(error)
        # As a line of a terminal shows it.
        assert said.startswith("phone.toml: ")
        assert len(said) < 1000
