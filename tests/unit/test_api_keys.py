"""Tests the format of API keys, and that only a digest is stored."""

from llm_router.store.key_format import digest, key_id, make_key, matches


def test_a_new_key_is_found_by_its_id_and_matches_its_digest() -> None:
    key = make_key()
    assert key_id(key.text) == key.id
    assert matches(key.text, key.digest)
    assert key.text.endswith(key.last_four)
    assert len(key.last_four) == 4


def test_no_two_keys_are_alike() -> None:
    keys = [make_key() for _ in range(100)]
    assert len({key.id for key in keys}) == len({key.text for key in keys}) == 100


def test_the_stored_fields_do_not_contain_the_key() -> None:
    key = make_key()
    secret = key.text.rpartition("_")[2]
    assert secret not in repr(key)
    assert secret not in key.digest


def test_another_key_with_the_same_id_does_not_match() -> None:
    key = make_key()
    last = "0" if key.text[-1] != "0" else "1"
    assert key_id(key.text[:-1] + last) == key.id
    assert not matches(key.text[:-1] + last, key.digest)


def test_a_digest_is_no_key() -> None:
    key = make_key()
    assert not matches(key.digest, key.digest)


def test_a_text_that_is_not_a_key_has_no_id() -> None:
    good = make_key().text
    for text in ["", "pb_", "sk-abc", good[:-1], good + "0", good + "\n", good.upper(), f" {good}"]:
        assert key_id(text) is None
    assert not matches("\ud800é", digest("a"))
