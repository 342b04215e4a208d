"""An id is found where it stands as an id: not within a longer one, and not where a short one is a word or a count."""

from __future__ import annotations

import pytest

from athlete_assets.forgetting.occurrences import Wanted


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("runner1", "forgotten"),
        ("rows of runner1, runner12 and xrunner1", "rows of forgotten, runner12 and xrunner1"),
        ("runner1-b and runner1", "runner1-b and forgotten"),  # runner1-b is another athlete
        ("athlete_id = 'runner1'", "athlete_id = 'forgotten'"),
        ("runner1_export.zip, runner1-old", "forgotten_export.zip, forgotten-old"),
    ],
)
def test_an_id_is_replaced_and_another_that_contains_it_stays(text: str, cleaned: str) -> None:
    wanted = Wanted("runner1", ("runner12", "runner1-b", "xrunner1"))
    assert wanted.replaced(text) == cleaned
    assert wanted.is_in(text) == (text != cleaned)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("me", "forgotten"),
        ("tell me of home", "tell me of home"),
        ('{"athlete_id": "me"}', '{"athlete_id": "forgotten"}'),
        ("rows of athlete me.", "rows of athlete forgotten."),
        ('{\\"minValues\\":{\\"athlete_id\\":\\"me\\"}}', '{\\"minValues\\":{\\"athlete_id\\":\\"forgotten\\"}}'),
    ],
)
def test_a_short_id_is_found_where_it_is_a_value_and_not_where_it_is_a_word(text: str, cleaned: str) -> None:
    assert Wanted("me").replaced(text) == cleaned


def test_numbers_are_no_ids_and_strings_of_digits_are() -> None:
    wanted = Wanted("1234567")
    assert not wanted.is_in_json({"size": 1234567, "path": "part-91234567"})
    assert wanted.is_in_json({"rows": [{"athlete": "1234567"}]})
    assert wanted.replaced_in_json({"1234567": 1}) == {"forgotten": 1}


def test_a_uuid_that_holds_the_id_is_none() -> None:
    assert not Wanted("4b96").is_in("38a82f05-833f-4b96-8269-9cf2fd10b5f3")
    assert Wanted("4b96").is_in("the rows of 4b96")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\x18\x07runner1\x18", True),
        (b"\x18\x08runner12", False),
        (b"xrunner1 and runner1-b", False),
        (b"runner1-c", True),
        (b"runner123", False),
    ],
)
def test_in_bytes(data: bytes, found: bool) -> None:
    assert Wanted("runner1", ("runner12", "runner1-b", "xrunner1")).is_in_bytes(data) == found
