"""Says dates, and the short forms of months and days."""

import functools
import re

from agent.speech.spoken_text.words import SPACE, Words, any_of

_ISO = re.compile(r"(?<![\w.-])(\d{4})-(\d{2})-(\d{2})(?:T(?=\d{2}:)|(?![\d-]))")
_BY_NUMBERS = re.compile(r"(?<![\w./-])(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?![\w/-])")
_DECADE = re.compile(r"(?<!\w)(1[1-9]|20)([2-9])0s(?!\w)")
_DECADES = "twen thir for fif six seven eigh nine"
"""In English, each before "ties"."""
_SUFFIXES = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
_MONTHS = 12
_DAYS = 31


def say_dates(text: str, words: Words) -> str:
    def from_iso(match: re.Match[str]) -> str:
        said = _date(match.start(), match[1], int(match[2]), int(match[3]))
        return match[0] if said is None else said + (" " if match[0].endswith("T") else "")

    def from_numbers(match: re.Match[str]) -> str:
        day, month = int(match[1]), int(match[3])
        if (words.month_first and match[2] == "/" and day <= _MONTHS) or month > _MONTHS:
            day, month = month, day
        said = _date(match.start(), match[4], month, day)
        return match[0] if said is None else said

    def _date(at: int, year: str, month: int, day: int) -> str | None:
        if not (1 <= month <= _MONTHS and 1 <= day <= _DAYS):
            return None
        name = words.dates.months[month - 1].split()[0]
        if words.dates.ordinals:
            return f"{_ordinal(text[:at], day, words)} {name} {year}"
        if not words.dates.form:
            return f"{name} {day}{_SUFFIXES.get(day, 'th')}, {year}"
        spoken_day = words.dates.first if day == 1 else str(day)
        return words.dates.form.format(day=spoken_day, month=name, year=year)

    text = _ISO.sub(from_iso, text)
    text = _BY_NUMBERS.sub(from_numbers, text)
    text = _say_days(text, words)
    text = _say_months(text, words)
    if not words.dates.form and not words.dates.ordinals:
        text = _DECADE.sub(lambda match: f"{match[1]} {_decade(match[2])}", text)
    return text


def _decade(tens: str) -> str:
    return f"{_DECADES.split()[int(tens) - 2]}ties"


def _ordinal(before: str, day: int, words: Words) -> str:
    """Returns a German ordinal with the ending that the word before it asks for."""
    last = before[-12:].split()[-1:]
    article = last[0].lower() if last else ""
    ending = "e" if article == "der" else "en"
    if article not in {"der", "am", "vom", "zum", "bis", "den", "dem", "ab"}:
        ending = "er"
    return words.dates.ordinals.split()[day - 1] + ending


def _say_months(text: str, words: Words) -> str:
    names = _names(tuple(words.dates.months))

    def month_name(match: re.Match[str]) -> str:
        name = names[match["month"]]
        period = match["period"] or ""
        return name + ("." if period and not text[match.end() :].strip() else "")

    def after_day(match: re.Match[str]) -> str:
        day = int(match["day"])
        if not 1 <= day <= _DAYS:
            return match[0]
        if words.dates.ordinals:
            said = _ordinal(text[: match.start()], day, words)
        elif not words.dates.form:
            said = f"{day}{_SUFFIXES.get(day, 'th')}"
        else:
            said = match["day"]
        return f"{said}{match['between']}{month_name(match)}"

    def before_day(match: re.Match[str]) -> str:
        day = int(match["day"])
        if not 1 <= day <= _DAYS:
            return match[0]
        return f"{names[match['month']]} {day}{_SUFFIXES.get(day, 'th')}"

    def before_year(match: re.Match[str]) -> str:
        return f"{names[match['month']]} {match['year']}"

    text = _months(words).sub(lambda match: _range_of(match[0], names, words), text)
    text = _day_and_month(words).sub(after_day, text)
    if words.dates.form or words.dates.ordinals:
        return text
    text = _month_and_day(words).sub(before_day, text)
    return _month_and_year(words).sub(before_year, text)


@functools.cache
def _names(groups: tuple[str, ...]) -> dict[str, str]:
    """Returns the full name of each form of the months or days."""
    return {form: group.split()[0] for group in groups for form in group.split()}


@functools.cache
def _day_and_month(words: Words) -> re.Pattern[str]:
    full = any_of(group.split()[0] for group in words.dates.months)
    short = any_of(form for group in words.dates.months for form in group.split()[1:])
    # Only English reads full names rightly when a plain number stands before them.
    english = not words.dates.form and not words.dates.ordinals
    year = rf"(?={SPACE}\d{{4}}(?!\d))"
    ends = r"\.|(?!\w)" if english else rf"\.|{year}"
    forms = rf"(?P<month>{short})(?P<period>{ends})(?!\w)"
    if not words.dates.form:
        forms = rf"(?:(?P<month>{full}|{short})(?P<period>\.(?!\w)|(?!\w)))"
    dot = r"\." if words.dates.ordinals else r"(?:st|nd|rd|th)?" if english else ""
    return re.compile(
        rf"(?<![\w.,:/-])(?P<day>\d{{1,2}}){dot}(?P<between>{SPACE}(?:of |de )?){forms}"
    )


@functools.cache
def _month_and_day(words: Words) -> re.Pattern[str]:
    return re.compile(
        rf"(?<!\w)(?P<month>{any_of(_names(tuple(words.dates.months)))})\.?{SPACE}"
        r"(?P<day>\d{1,2})(?:st|nd|rd|th)?(?![\w:/]|[.,]\d|\s?[-–—]\s?\d|\s?[ap]\.?m)"
    )


@functools.cache
def _month_and_year(words: Words) -> re.Pattern[str]:
    return re.compile(
        rf"(?<!\w)(?P<month>{any_of(_names(tuple(words.dates.months)))})\.?{SPACE}"
        r"(?P<year>\d{4})(?!\w)"
    )


def _range_of(written: str, names: dict[str, str], words: Words) -> str:
    """Says months or days in a row, with what stands between them."""
    said = _DASH.sub(f" {words.to} ", written)
    said = _AND.sub(f" {words.and_} ", said)
    return re.sub(rf"({any_of(names)})\.?(?!\w)", lambda name: names[name[1]], said)


def _say_days(text: str, words: Words) -> str:
    names = _names(tuple(words.dates.days))
    return _days(words).sub(lambda match: _range_of(match[0], names, words), text)


_DASH = re.compile(r"\s?[-–—]\s?")
_AND = re.compile(r"\s?[/&]\s?")


@functools.cache
def _months(words: Words) -> re.Pattern[str]:
    """Matches two short forms with a dash between them: "Jan-Mar"."""
    short = any_of(form for group in words.dates.months for form in group.split()[1:])
    return re.compile(rf"(?<![\w-])(?:{short})\.?\s?[-–—]\s?(?:{short})(?![\w-])\.?")


@functools.cache
def _days(words: Words) -> re.Pattern[str]:
    """Matches days in a row ("Mon-Fri", "Mon, Wed & Fri"), or one before a number ("Sat 9-5")."""
    some_day = rf"(?:{any_of(_names(tuple(words.dates.days)))})"
    english = not words.dates.form and not words.dates.ordinals
    # Without its period a short form may be a word: "So, 3 Tage".
    before_number = r"\.(?=[:,]?\s\d)" + (r"|(?=:?\s\d)" if english else "")
    more_days = rf"(?:\.?\s?[-–—/&,]\s?{some_day}){{1,6}}(?![\w-])\.?"
    return re.compile(rf"(?<![\w-]){some_day}(?:{more_days}|{before_number})")
