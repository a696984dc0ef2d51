"""Checks telephone numbers, extensions and SIP addresses, and compares them as LiveKit does."""

import re

EMERGENCY = frozenset(
    {"000", "110", "111", "112", "113", "115", "117", "118", "119", "122", "133", "144", "15",
     "17", "18", "190", "191", "192", "193", "911", "988", "995", "997", "998", "999"}
)  # fmt: skip
"""Emergency numbers of many countries. No call of an agent goes to one of them."""
EMERGENCY_SOMEWHERE = EMERGENCY.union(
    """
    01 02 03 13 14 16 19 90 91 92 93 94 001 002 003 011 019 022 033 050 060 065 066 068 080 085
    088 100 101 102 103 104 105 106 107 108 114 116 120 123 124 125 127 128 129 130 131 132 140
    150 151 152 153 154 155 156 157 158 159 160 166 170 171 172 175 177 180 188 194 195 197 198
    199 211 311 333 355 511 555 666 819 888 901 902 903 912 913 917 919 922 933 939 955 977 990
    991 992 993 994 996 1122 1220 1298 1444 1669 1730 2611 9999 10111 10177
    """.split(),  # noqa: SIM905  shorter than a list
    (f"13{number:02}" for number in range(100)),  # Gabon
)
"""Emergency numbers of every country in the metadata of libphonenumber 9.0.43, and of South Africa.
Telephone systems have many of them as extensions, so only planned calls are refused for them."""
MAX_LENGTH = 256
"""Characters of a SIP address."""

_FORMATTING = re.compile(r"[\s().\-/\u00a0\u2010-\u2015\u200b-\u200f\u202a-\u202e\u2060\ufeff]+")
"""Signs between digits; those that cannot be seen come along from lists of contacts."""
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_FROM_ABROAD = re.compile(r"00[1-9][0-9]{6,14}")
_EXTENSION = re.compile(r"[0-9*#]{1,6}|[A-Za-z][A-Za-z0-9._-]{0,62}")
_URI = re.compile(
    r"sips?:(?:[A-Za-z0-9+*#!$&'()_.~=,;?/-]{1,128}@)?"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::[0-9]{1,5})?(?:;[A-Za-z0-9=._-]{1,100}){0,5}"
)
_AS_LIVEKIT = re.compile(r"\+?[0-9\- ()]+")


def parse_number(text: str) -> str:
    """Returns a number as E.164, or an extension of a telephone system as it is. A tel: URI is one
    as well.

    Raises ValueError, which says how to write it.
    """
    bare = re.sub(r"^tel:(?=\+)", "", _FORMATTING.sub("", text), flags=re.IGNORECASE)
    if "(0)" in text and bare.startswith("+"):
        raise ValueError("has (0); write it as it is dialed from abroad, such as +4930123456")
    if _E164.fullmatch(bare) or _EXTENSION.fullmatch(bare):
        return bare
    digits = re.sub(r"[^0-9]", "", bare)
    if bare.startswith("00") and len(digits) > len("00"):
        raise ValueError(f"begins with 00; write it with a plus sign: +{digits[2:17]}")
    if bare.startswith("+"):
        raise ValueError("is no number; write + and 7 to 15 digits, such as +4930123456")
    if digits == bare != "":
        raise ValueError("has no country code; write it with one, such as +4930123456")
    raise ValueError(
        "is no number; write one such as +4930123456, or an extension such as 100 or reception"
    )


def parse_address(text: str) -> str:
    """Returns a number, an extension, or a SIP address such as sip:desk@10.0.0.5.

    Raises ValueError, which says how to write it.
    """
    scheme, colon, rest = text.strip().partition(":")
    scheme = scheme.lower()
    if colon and scheme in {"sip", "sips"}:
        bare = f"{scheme}:{rest}"
        if len(bare) > MAX_LENGTH or not _URI.fullmatch(bare):
            raise ValueError("is no SIP address; write one such as sip:desk@10.0.0.5:5060")
        return bare
    return parse_number(text)


def is_emergency(address: str, numbers: frozenset[str] = EMERGENCY) -> bool:
    """Returns whether a number or SIP address leads to an emergency service.

    Keys such as * and # beside the digits change nothing, nor does a digit or two that
    telephone systems want for a line to the outside.
    """
    user = (address.partition(":")[2] or address).partition("@")[0].partition(";")[0]
    parts = [re.sub(r"[^0-9A-Za-z]", "", part) for part in (user, *re.split("[*#]", user))]
    dialled = [part[n:] for part in parts for n in range(3) if set(part[:n]) <= {"0", "9"}]
    return not numbers.isdisjoint(dialled)


def as_uri(address: str, host: str = "") -> str:
    """Returns the URI of a checked address, as a transfer needs it.

    An extension is one of the telephone system at `host`; without one, ValueError is raised.
    """
    if address.startswith(("sip:", "sips:")):
        return address
    if address.startswith("+"):
        return f"tel:{address}"
    if not host:
        raise ValueError("is an extension; write the SIP address of its telephone system as well")
    return f"sip:{address}@{host}"


def comparable(number: str) -> str:
    """Returns a number as LiveKit compares it: 1 555 0100 and +15550100 are the same."""
    if not _AS_LIVEKIT.fullmatch(number):
        return number
    return "+" + re.sub(r"[^0-9]", "", number)


def same_for_people(number: str) -> str:
    """Returns a number in the form by which calls of one caller are found, however carriers write
    it: 0049 30 123456 and +4930123456 are the same.
    """
    if not _AS_LIVEKIT.fullmatch(number):
        return number
    digits = re.sub(r"[^0-9+]", "", number)
    # An extension may begin with 00 as well.
    return "+" + digits[2:] if _FROM_ABROAD.fullmatch(digits) else digits


def masked(address: str) -> str:
    """Returns the end of a number, for logs: a whole one is a caller's own."""
    digits = re.sub(r"[^0-9]", "", address)
    return f"...{digits[-3:]}" if len(digits) > 4 else "..."  # noqa: PLR2004  all of a short one
