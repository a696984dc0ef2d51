"""Says abbreviations, whose period would otherwise end the sentence, and knows them in a text."""

import functools
import re

from agent.speech.spoken_text.words import SPACE, Words, all_words, any_of

_START = r"(?<![\w.@/+-])"
_ENDS_HERE = r"(?=[\"'”’»)\]]*(?:\s*$|\s+[A-ZÀ-Þ]))"
"""A sentence ends at a period if the text does, or if a capital letter follows."""
_WORD = re.compile(r"[^\s\"'“„«(\[]+$")


def say_abbreviations(text: str, words: Words) -> str:
    """Says the abbreviations of the language; one at the end of a sentence leaves its period."""

    def say_street(match: re.Match[str]) -> str:
        return match[1] + words.streets[match[2]] + _period(match[3])

    def say_ending(match: re.Match[str]) -> str:
        return words.endings[match[1]] + _period(match[2])

    if words.streets:
        text = _street(words).sub(say_street, text)
    text = _number(words).sub(f"{words.number} ", text)
    text = _title(words).sub(lambda match: words.titles[match[0]], text)
    return _ending(words).sub(say_ending, text)


def _period(ends_sentence: str | None) -> str:
    return "" if ends_sentence is None else "."


def sentence_continues(before: str, after: str) -> bool:
    """Tells whether a sentence goes on, or may yet, after the period at the end of `before`.

    It does after an abbreviation of any language that `words.toml` has. `after` is the text that
    follows the white space, empty while it has not come.
    """
    found = _WORD.search(before)
    word = found[0] if found else ""
    never, perhaps, numbers = _in_all_languages()
    if word in never:
        return True
    if word in numbers or word.endswith("str."):  # "Hauptstr. 5"
        return not after or after[0].isdigit()
    return word in perhaps and not (after and after[0].isupper())


@functools.cache
def _in_all_languages() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Returns the abbreviations that never end a sentence, that may, and those of "number"."""
    languages = all_words().values()
    perhaps = {name for words in languages for name in (*words.endings, *words.streets)}
    numbers = {name for words in languages for name in words.numbers if name.endswith(".")}
    months = {
        f"{name}."
        for words in languages
        for month in words.dates.months
        for name in month.split()[1:]
    }
    never = {name for words in languages for name in words.titles}
    return (
        frozenset(name.split()[-1] for name in never),
        frozenset(perhaps),
        frozenset(numbers | months),
    )


@functools.cache
def _street(words: Words) -> re.Pattern[str]:
    """Matches "12 Oak St." and "12 Old Oak Dr.", but not "2 Dr."."""
    return re.compile(
        rf"((?<!\w)\d{{1,6}}{SPACE}(?:[A-Z]\w{{1,20}}{SPACE}){{1,3}})({any_of(words.streets)})"
        rf"({_ENDS_HERE})?(?!\w)"
    )


@functools.cache
def _number(words: Words) -> re.Pattern[str]:
    return re.compile(rf"{_START}(?:{any_of(words.numbers)}){SPACE}?(?=\d)")


@functools.cache
def _title(words: Words) -> re.Pattern[str]:
    return re.compile(rf"{_START}(?:{any_of(words.titles)})(?!\w)")


@functools.cache
def _ending(words: Words) -> re.Pattern[str]:
    # German writes "Hauptstr.": the only one that ends a longer word.
    return re.compile(
        rf"(?:{_START}|(?<=\w\w\w)(?=str\.))({any_of(words.endings)})({_ENDS_HERE})?(?!\w)"
    )
