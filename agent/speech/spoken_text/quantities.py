"""Says money, units, ranges, negative numbers and fractions; the numbers stay digits."""

import functools
import re

from agent.speech.spoken_text.words import NUMBER, NUMBER_START, SPACE, Words, any_of

_CODES = {"US$": "$", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_CENTS = re.compile(r"(.*)[.,](\d\d)")
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4"}
_BEFORE_RANGE = rf"(?:{SPACE}?(?:(?i:[ap]\.?m\b\.?)|%|°[CF]?|h\b|[€$£¥]))?"
_POINT = rf"(?:\d{{1,2}}:\d\d|{NUMBER})"
_RANGE = re.compile(
    rf"(?<![\w.,:/-])(?P<first>{_POINT})(?P<unit>{_BEFORE_RANGE})"
    rf"(?P<dash>{SPACE}?[-–—]{SPACE}?)(?=[$€£¥]?(?P<second>{_POINT})(?![\d:]|{SPACE}?[-–—=]))"
)
_PER = r"(?P<per>/(?=[^\W\d_]))?"
_MINUS = re.compile(r"(?<!\S)[-−](?=[$€£¥]?\d)")


def say_ranges(text: str, words: Words) -> str:
    """Says the dash between two numbers, and the minus before one."""

    def say(match: re.Match[str]) -> str:
        # "7 - 3" is a sum, "3 - 7" is not.
        is_sum = match["dash"] == " - " and not _is_rising(match["first"], match["second"])
        return f"{match['first']}{match['unit']} {words.minus if is_sum else words.to} "

    text = _money_range(words).sub(rf"\2 {words.to} \3 \1", text)
    text = _RANGE.sub(say, text)
    return _MINUS.sub(f"{words.minus} ", text)


def _is_rising(first: str, second: str) -> bool:
    numbers = [re.sub(r"\D", "", text) for text in (first, second)]
    return int(numbers[0]) < int(numbers[1])


@functools.cache
def _money_range(words: Words) -> re.Pattern[str]:
    """Matches "$5-10": said "5 to 10 $" first, then with the name of the currency."""
    return re.compile(
        rf"(?<!\w)({_currencies(words)}){SPACE}?({NUMBER}){SPACE}?[-–—]{SPACE}?({NUMBER})(?![\w-])"
    )


def _currencies(words: Words) -> str:
    return any_of((*words.money, *(code for code, sign in _CODES.items() if sign in words.money)))


def say_money(text: str, words: Words) -> str:
    def say(match: re.Match[str]) -> str:
        sign = match["currency"]
        names = words.money[_CODES.get(sign, sign)]
        said = _amount(match["number"], match["scale"], names, words)
        return f"{said} {words.per} " if match["per"] else said

    return _money_after(words).sub(say, _money_before(words).sub(say, text))


def _amount(number: str, scale: str | None, names: list[str], words: Words) -> str:
    one, many, hundredth, hundredths = names
    if scale:
        return f"{number} {words.scales[scale]} {many}".replace(" de euros", " d'euros")
    parts = _CENTS.fullmatch(number)
    whole, cents = (parts[1], int(parts[2])) if parts else (number, 0)
    said = [f"{whole} {one if whole == '1' else many}"]
    if cents:
        said = [] if whole == "0" else said
        said.append(f"{cents} {hundredth if cents == 1 else hundredths}")
    return f" {words.and_} ".join(said)


@functools.cache
def _scale(words: Words) -> str:
    return rf"(?:{SPACE}?(?P<scale>{any_of(words.scales)}))?"


@functools.cache
def _money_before(words: Words) -> re.Pattern[str]:
    return re.compile(
        rf"(?<!\w)(?P<currency>{_currencies(words)}){SPACE}?"
        rf"(?P<number>{NUMBER}){_scale(words)}(?!\w){_PER}"
    )


@functools.cache
def _money_after(words: Words) -> re.Pattern[str]:
    return re.compile(
        rf"{NUMBER_START}(?P<number>{NUMBER}){_scale(words)}{SPACE}?"
        rf"(?P<currency>{_currencies(words)})(?!\w){_PER}"
    )


def say_units(text: str, words: Words) -> str:
    def say(match: re.Match[str]) -> str:
        is_one = match["number"] == "1" or text[match.start() - 1 : match.start()] == "/"
        one, many = words.units[match["unit"]]
        return f"{match['number']} {one if is_one else many}"

    return _unit(words).sub(say, text)


@functools.cache
def _unit(words: Words) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w.,$€£¥:])(?P<number>{NUMBER}){SPACE}?"
        rf"(?P<unit>{any_of(words.units)})"
        r"(?![\w/²³'’])(?:\.(?=\s[a-zà-ÿ]))?"
    )


def say_fractions(text: str, words: Words) -> str:
    def say(match: re.Match[str]) -> str:
        whole = f"{match[1]} {words.and_} " if match[1] else ""
        return whole + words.fractions[_VULGAR.get(match[2], match[2])]

    return _FRACTION.sub(say, text)


_FRACTION = re.compile(
    rf"(?<![\w/.,:-])(?:(\d{{1,4}}){SPACE}?(?=[½⅓⅔¼¾]|(?<=\s)\d))?"
    rf"(½|⅓|⅔|¼|¾|1/2|1/3|2/3|1/4|3/4)(?![\w/]|[.,]\d)"
)
