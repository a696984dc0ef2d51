"""A folder of texts answers questions with the passages that hold their words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.toolbox.documents import Documents, split

SHOP = Path(__file__).parents[2] / "config" / "documents"


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("What time do you open on Saturday?", "On Saturday we open at nine"),
        ("opening hours saturday", "On Saturday we open at nine"),
        ("are you closed on sundays", "closed on Sunday"),
        ("Where can I park my car?", "free parking"),
        ("How much is an inspection?", "costs forty nine euros"),
        ("can I return a bike without its receipt", "within thirty days"),
        ('"); DROP TABLE passages; -- Saturday', "On Saturday"),
        ("NEAR(saturday AND *)", "On Saturday"),
    ],
)
def test_the_shops_text_answers_its_questions(question: str, found: str) -> None:
    best, *_ = Documents(SHOP).search(question)
    assert found in best.text
    assert best.file == "shop.md"


@pytest.mark.parametrize("question", ["", "?!", "xyzzy", "the of and"])
def test_a_question_without_a_word_of_the_texts_finds_nothing(question: str) -> None:
    assert not Documents(SHOP).search(question)


def test_a_text_that_is_changed_added_or_removed_is_found_as_it_is_now(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    (tmp_path / "menu.md").write_text("Soup of the day: lentils.")
    assert [part.text for part in documents.search("soup")] == ["Soup of the day: lentils."]
    (tmp_path / "menu.md").write_text("Soup of the day: tomatoes!")
    (tmp_path / "wine.txt").write_text("With the soup, a white wine.")
    assert {part.file for part in documents.search("soup")} == {"menu.md", "wine.txt"}
    assert not documents.search("lentils")
    (tmp_path / "menu.md").unlink()
    assert [part.file for part in documents.search("soup")] == ["wine.txt"]


def test_markdown_becomes_passages_below_their_headings() -> None:
    text = (
        "# Prices #\n\nAll **with** tax,\nas [the law](https://law.example) says.\n"
        "- Soup: four euros\n2. Bread\n\n## Tables\n\n| size | seats |\n|---|---|\n| big | 8 |\n"
    )
    assert [(part.heading, part.text) for part in split(text)] == [
        ("Prices", "All with tax, as the law says."),
        ("Prices", "Soup: four euros"),
        ("Prices", "Bread"),
        ("Tables", "size seats big 8"),
    ]


@given(st.text(alphabet="ab .#-|\n*", max_size=3000))
def test_no_passage_is_long_and_no_word_is_lost(text: str) -> None:
    parts = [*split(text)]
    assert all(0 < len(part.text) <= 600 for part in parts)


def test_a_long_paragraph_is_split_between_sentences() -> None:
    sentence = "This is a sentence about tea. "
    parts = [*split(sentence * 60)]
    assert len(parts) > 1
    assert " ".join(part.text for part in parts) == (sentence * 60).strip()


def test_what_is_too_large_or_elsewhere_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "large.txt").write_text("word " * 100_000)
    (folder / "picture.png").write_text("word")
    (folder / "latin.txt").write_bytes("café word".encode("latin-1"))
    (tmp_path / "secret.txt").write_text("word")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert [part.file for part in Documents(folder).search("word")] == ["latin.txt"]


def test_a_folder_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    documents = Documents(tmp_path / "none")
    documents.load()
    assert documents.is_empty
    assert not documents.search("anything")
