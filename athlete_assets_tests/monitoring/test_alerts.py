"""When a message is due, told from observations alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets.days import Days, without
from athlete_assets.monitoring.alerts import Alert, Incident, Observation, updated_incidents

SUBJECT = "check feature_store/athlete_daily_features:keys"


def may(first: int, last: int | None = None) -> Days:
    return Days(date(2024, 5, first), date(2024, 5, last or first))


def found(good: bool, at: float, days: Days | None = None, severity: str = "error") -> Observation:
    return Observation(SUBJECT, good, at, "42 rows share a key.", days, severity)  # type: ignore[arg-type]


def statuses(*observations: Observation) -> list[str]:
    return [alert.status for alert in updated_incidents({}, observations)]


def test_a_break_is_told_once_and_its_mending_once() -> None:
    assert statuses(found(False, 1), found(False, 2), found(True, 3), found(True, 4)) == ["broken", "recovered"]


def test_what_was_never_broken_is_not_told_as_recovered() -> None:
    assert statuses(found(True, 1), found(True, 2)) == []


def test_findings_are_taken_in_the_order_of_time() -> None:
    assert statuses(found(True, 2), found(False, 1)) == ["broken", "recovered"]
    assert statuses(found(True, 1), found(False, 2)) == ["broken"]


def test_a_good_today_does_not_mend_an_error_of_last_week() -> None:
    assert statuses(found(False, 1, may(3, 5)), found(True, 2, may(9))) == ["broken"]


def test_an_error_is_mended_when_each_of_its_days_is_good_again() -> None:
    broken: dict[str, Incident] = {}
    assert [
        alert.status for alert in updated_incidents(broken, [found(False, 1, may(3, 5)), found(True, 2, may(4))])
    ] == ["broken"]
    assert broken[SUBJECT].days == [may(3), may(5)]
    assert updated_incidents(broken, [found(True, 3, may(1, 3))]) == []
    assert [alert.status for alert in updated_incidents(broken, [found(True, 4, may(5, 9))])] == ["recovered"]
    assert broken == {}


def test_good_rows_of_some_athletes_mend_only_what_was_broken_of_them() -> None:
    def of(good: bool, at: float, *athletes: str) -> Observation:
        return replace(found(good, at, may(1)), athletes=athletes or None)

    assert statuses(of(False, 1), of(True, 2, "a")) == ["broken"]
    assert statuses(of(False, 1), of(True, 2, "a"), of(True, 3)) == ["broken", "recovered"]
    assert statuses(of(False, 1, "a"), of(True, 2, "b")) == ["broken"]
    assert statuses(of(False, 1, "a"), of(True, 2, "a", "b")) == ["broken", "recovered"]
    assert statuses(of(False, 1, "a"), of(False, 2, "b"), of(True, 3, "a")) == ["broken"]
    assert statuses(of(False, 1, "a"), of(False, 2), of(True, 3, "a")) == ["broken"]


def test_an_error_that_reaches_further_days_is_told_again_and_a_warning_is_not() -> None:
    assert statuses(found(False, 1, may(3)), found(False, 2, may(3)), found(False, 3, may(4))) == ["broken", "broken"]
    assert statuses(found(False, 1, may(3), "warning"), found(False, 2, may(4), "warning")) == ["broken"]


def test_a_warning_is_mended_by_a_newer_day() -> None:
    warned = found(False, 1, may(3), "warning")
    assert statuses(warned, found(True, 2, may(2))) == ["broken"]
    assert statuses(warned, found(True, 2, may(4))) == ["broken", "recovered"]


def test_a_warning_that_becomes_an_error_is_told_again() -> None:
    assert statuses(found(False, 1, None, "warning"), found(False, 2)) == ["broken", "broken"]


windows = st.builds(lambda first, length: may(first, min(first + length, 31)), st.integers(1, 31), st.integers(0, 10))


@given(st.lists(windows, max_size=4), st.lists(windows, max_size=4))
def test_windows_less_others_hold_exactly_the_days_that_are_left(kept: list[Days], gone: list[Days]) -> None:
    expected = {day for window in kept for day in window} - {day for window in gone for day in window}
    assert {day for window in without(kept, gone) for day in window} == expected


@given(st.lists(st.tuples(st.booleans(), windows, st.sampled_from(["warning", "error"])), max_size=8))
def test_memory_that_passes_through_json_tells_the_same(steps: list[tuple[bool, Days, str]]) -> None:
    observations = [found(good, at, days, severity) for at, (good, days, severity) in enumerate(steps)]
    kept: dict[str, Incident] = {}
    through_json = []
    for observation in observations:
        through_json += updated_incidents(kept, [observation])
        kept = {name: Incident.model_validate_json(state.model_dump_json()) for name, state in kept.items()}
    assert through_json == updated_incidents({}, observations)


def test_the_text_names_subject_days_sentence_numbers_and_link() -> None:
    (alert,) = updated_incidents(
        {},
        [
            Observation(
                SUBJECT,
                False,
                1.0,
                "42 rows share a key.",
                may(3, 5),
                numbers={"duplicates": 42, "share": 0.123456789},
                link="http://127.0.0.1:3000/assets/feature_store/athlete_daily_features",
            )
        ],
    )
    assert alert.text.splitlines() == [
        "BROKEN (error): check feature_store/athlete_daily_features:keys for 2024-05-03..2024-05-05",
        "42 rows share a key.",
        "duplicates = 42, share = 0.123457",
        "http://127.0.0.1:3000/assets/feature_store/athlete_daily_features",
    ]
    assert Alert.model_validate_json(alert.model_dump_json()) == alert


@pytest.mark.parametrize("severity", ["warning", "error"])
def test_a_table_without_days_is_mended_by_any_good_finding(severity: str) -> None:
    assert statuses(found(False, 1, None, severity), found(True, 2, None)) == ["broken", "recovered"]
