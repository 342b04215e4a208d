"""The pages say what the tables hold, to everybody, and are written again only where that changed."""

from __future__ import annotations

import re
from datetime import date, timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from athlete_assets import tables
from athlete_assets.cli import main
from athlete_assets.days import midnight
from athlete_assets.gold.pages.place import folder_of
from athlete_assets.gold.pages.site import page_name, remove_page, write_pages
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.gold.pages.home import FIRST, TODAY, data, fill, outcome, page, put, text
from athlete_assets_tests.rows import rows

WICKED = "</script><script>alert('x')</script> & \"co\""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """Two athletes' tables, with their pages; tests only read it."""
    store = LocalStore(Settings(home=tmp_path_factory.mktemp("home")))
    fill(store, "ann", WICKED)
    write_pages(store, store.settings)
    return store


@pytest.fixture(scope="module")
def folder(home: LocalStore) -> Path:
    found = folder_of(home.settings)
    assert found is not None
    return found


def test_a_page_shows_the_numbers_of_the_tables(home: LocalStore, folder: Path) -> None:
    html = page(folder, "ann")
    load = data(html)["charts"]["load"]
    rolling = [row for row in home.rows(tables.ROLLING).to_pylist() if row["athlete_id"] == "ann"]
    stored = {str(row["as_of_date"].date()): row for row in rolling}
    assert load["x"] == sorted(stored)
    for name, column in (("ctl", "ctl_42d"), ("atl", "atl_7d"), ("tsb", "tsb")):
        assert load[name] == [round(stored[day][column], 1) for day in load["x"]]
    words = text(html)
    assert "1,234.6 km" in words  # the summary's 1234.56
    assert "48:31 (28 Feb 2026)" in words  # best_10k_s 2911
    assert "critical speed from efforts of the last 90 days" in words
    assert "duplicate 2" in words
    assert "implausible_speed 1" in words


def test_predictions_are_told_with_interval_change_and_how_they_fared(folder: Path) -> None:
    words = text(page(folder, "ann"))
    # on the last of 40 days 3000 - 39 s; 28 days before that 28 s more
    assert "10 km 49:21 47:41 – 51:01 4:56 /km −0:28" in words
    assert "From the learned model, version 7." in words
    assert "In the interval predicted before the effort: 0 of 1; mean error 2.0 %" in words
    assert "49:00 46:40 – 49:50 50:00 −2.0 % no" in words


def test_what_was_predicted_after_the_effort_is_shown_and_not_judged(store: LocalStore) -> None:
    fill(store, "ann")
    put(store, tables.PREDICTION_OUTCOMES, {**outcome("ann"), "is_backfilled": True})
    said = text(write_pages(store, store.settings).athletes["ann"].read_text())
    assert "All of these predictions were made after the efforts" in said
    assert "50:00 −2.0 % predicted later" in said


def test_what_lies_ahead_is_told_by_scenario_with_todays_room_and_the_taper(folder: Path) -> None:
    html = page(folder, "ann")
    said = text(html)
    assert "84 TSS more, about 71 minutes of the usual, until the ramp is at its limit." in said
    assert "Race on 22 Mar 2026: 18 TSS a day until its eve lead to a form of +10.0; rest alone to +25.0." in said
    assert "On 25 Mar 2026" in said
    assert "as lately 30 25.0 10.0 +15.0 0.50" in said
    ahead = data(html)["charts"]["projection"]
    assert set(ahead) == {"rest", "habit"}
    # from the newest day that is known (39) on
    assert ahead["rest"]["ctl"] == [39, *range(38, 24, -1)]


def test_risk_names_its_reasons_with_value_and_limit(folder: Path) -> None:
    words = text(page(folder, "ann"))
    assert "(ACWR) 1.60, limit 1.5" in words
    assert "12 %" in words or "13 %" in words  # p_disruption_14d 0.125, rounded to per cents


def test_weeks_of_late_are_the_sums_of_their_days(folder: Path) -> None:
    """The weekly table follows later than today's run: here it says 999."""
    weeks = data(page(folder, "ann"))["charts"]["weeks"]
    # the calendar begins on Saturday 31 January, with a run on every other day from then on
    assert date(2026, 1, 31) == FIRST
    assert weeks["x"] == [
        "2026-01-26",
        "2026-02-02",
        "2026-02-09",
        "2026-02-16",
        "2026-02-23",
        "2026-03-02",
        "2026-03-09",
    ]
    assert weeks["km"] == [10.0, 40.0, 30.0, 40.0, 30.0, 40.0, 10.0]


def test_time_in_zones_is_share_of_moving_time(folder: Path) -> None:
    zones = data(page(folder, "ann"))["charts"]["zones"]
    at = zones["x"].index("2026-03-02")
    # four runs of 50 minutes: 20 % in zone 2, 80 % in zone 3
    assert [hours[at] for hours in zones["hours"]] == [0, pytest.approx(0.67), pytest.approx(2.67), 0, 0, 0]


def test_whatever_an_id_says_it_stays_text(folder: Path) -> None:
    for html in (page(folder, WICKED), (folder / "index.html").read_text()):
        assert "<script>alert" not in html
        assert WICKED in unescape(text(html.replace("&lt;", "\0lt;").replace("&gt;", "\0gt;")).replace("\0", "&"))
    assert "<ran>" not in page(folder, "ann")
    assert "You &lt;ran&gt; &amp; ran" in page(folder, "ann")
    assert data(page(folder, WICKED))["charts"]["load"]["x"][-1] == str(TODAY)


@pytest.mark.parametrize(
    "athlete", ["", ".", "..", "../../etc/passwd", "a/b", "a\\b", "CON", "jürgen 👟", "x" * 500, WICKED]
)
def test_any_id_has_a_safe_file_name(athlete: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}-[0-9a-f]{10}\.html", page_name(athlete))


def test_ids_that_look_alike_have_pages_of_their_own() -> None:
    alike = ("a/b", "a-b", "a b", "A-b", "x" * 40, "x" * 41)
    assert len({page_name(athlete).lower() for athlete in alike}) == len(alike)


def test_only_pages_whose_athlete_changed_are_written_again(store: LocalStore) -> None:
    fill(store, "ann", "bob")
    first = write_pages(store, store.settings)
    assert (first.rendered, sorted(first.athletes)) == (2, ["ann", "bob"])
    before = {athlete: path.stat().st_mtime_ns for athlete, path in first.athletes.items()}
    assert write_pages(store, store.settings).rendered == 0

    put(store, tables.PREDICTION_OUTCOMES, outcome("ann"), {**outcome("bob"), "run_s": 3001.0})
    assert write_pages(store, store.settings).rendered == 1
    after = {athlete: path.stat().st_mtime_ns for athlete, path in first.athletes.items()}
    assert (after["ann"] == before["ann"], after["bob"] == before["bob"]) == (True, False)

    put(store, tables.PREDICTION_OUTCOMES, outcome("ann"), {**outcome("bob"), "run_s": 3001.0 * (1 + 1e-12)})
    assert write_pages(store, store.settings).rendered == 0  # nothing that can be seen

    first.athletes["ann"].unlink()
    assert write_pages(store, store.settings).rendered == 1
    assert first.athletes["ann"].is_file()
    portuguese = store.settings.model_copy(update={"language": "pt"})
    assert write_pages(store, portuguese).rendered == 2


def test_the_table_says_which_page_shows_what(home: LocalStore, folder: Path) -> None:
    found = {row["athlete_id"]: row for row in home.rows(tables.ATHLETE_PAGES).to_pylist()}
    assert set(found) == {"ann", WICKED}
    assert (folder / found["ann"]["page"]).stat().st_size == found["ann"]["bytes"]
    assert found["ann"]["as_of_date"] == midnight(TODAY)


def test_who_is_gone_from_the_tables_has_no_page(store: LocalStore) -> None:
    fill(store, "ann", "bob")
    pages = write_pages(store, store.settings)
    fill(store, "ann")
    write_pages(store, store.settings)
    assert pages.athletes["ann"].is_file()
    assert not pages.athletes["bob"].exists()
    assert "bob" not in pages.index.read_text()


def test_who_is_forgotten_leaves_neither_page_nor_a_row_in_the_coachs(store: LocalStore) -> None:
    import hashlib

    fill(store, "ann", "bob")
    pages = write_pages(store, store.settings)
    assert remove_page(hashlib.sha256(b"bob").hexdigest(), store.settings) == 2
    assert [path for path in pages.folder.rglob("*.html") if "bob" in path.name or "bob" in path.read_text()] == []
    assert pages.athletes["ann"].is_file()


def test_portuguese_pages_say_so_and_write_numbers_their_way(store: LocalStore) -> None:
    fill(store, "ann")
    settings = store.settings.model_copy(update={"language": "pt"})
    html = write_pages(store, settings).athletes["ann"].read_text()
    assert '<html lang="pt-BR">' in html
    assert "1.234,6 km" in text(html)
    assert "28 fev 2026" in text(html)
    assert data(html)["texts"]["fitness"] == "Condicionamento"
    assert (data(html)["texts"]["decimal"], data(html)["texts"]["thousands"]) == (",", ".")


def test_what_is_not_known_is_said_and_breaks_nothing(store: LocalStore) -> None:
    """One activity without load, heart rate, prediction or history."""
    summary = {"athlete_id": "new", "as_of_date": midnight(TODAY), "last_activity_date": midnight(TODAY)}
    put(store, tables.METRICS_SUMMARY, {**summary, "days_since_activity": 0, "threshold_source": None})
    pages = write_pages(store, store.settings)
    words = text(pages.athletes["new"].read_text())
    assert "Not known: no activity of the last 42 days has a load" in words
    assert "Not known: no run of at least 3 km" in words
    assert "Not known: nothing has been predicted yet" in words
    assert "Not known yet: no effort at a race distance" in words
    assert "nan" not in words.lower()
    assert "None" not in words


def test_a_home_without_athletes_has_a_coachs_page_that_says_so(store: LocalStore) -> None:
    pages = write_pages(store, store.settings)
    assert "No athlete yet" in pages.index.read_text()
    assert store.rows(tables.ATHLETE_PAGES).num_rows == 0


def test_ten_years_of_running_fit_into_300_kb(store: LocalStore) -> None:
    first = TODAY - timedelta(days=3650)
    fill(store, "old", first=first)
    put(store, tables.PREDICTION_OUTCOMES, *({**outcome("old"), "activity_id": n} for n in range(300)))
    size = write_pages(store, store.settings).athletes["old"].stat().st_size
    assert 30_000 < size < 300_000
    load = data(page(store.settings.home.resolve() / "reports", "old"))["charts"]["load"]
    assert load["x"][0] == "2016-03-13"  # the first Sunday
    assert len(load["x"]) < 1000


def test_nothing_is_fetched_from_elsewhere(folder: Path) -> None:
    for path in (*folder.rglob("*.html"), *(folder / "shared").glob("pages.*")):
        content = path.read_text()
        assert not re.search(r"https?://|(src|href)=\"//|@import|\bfetch\(|XMLHttpRequest", content), path.name
    assert {path.name for path in (folder / "shared").iterdir()} == {"pages.css", "pages.js", "plotly.min.js"}


class Outline(HTMLParser):
    """What a screen reader goes by."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.charts: list[dict[str, str | None]] = []
        self.tables = 0
        self.ids: list[str | None] = []
        self.labelled: list[str | None] = []
        self.targets: list[str] = []
        self.heads: list[dict[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        of = dict(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "data-chart" in of:
            self.charts.append(of)
        self.tables += tag == "table"
        self.heads += [of] if tag == "th" else []
        self.ids += [of["id"]] if "id" in of else []
        self.labelled += [of["aria-labelledby"]] if "aria-labelledby" in of else []
        if (of.get("href") or "").startswith("#"):
            self.targets.append(str(of["href"])[1:])


def test_pages_have_headings_labels_and_a_table_for_each_chart(folder: Path) -> None:
    for path in folder.rglob("*.html"):
        outline = Outline(path.read_text())
        assert outline.headings[0] == 1
        assert outline.headings.count(1) == 1
        assert all(deeper - level <= 1 for level, deeper in zip(outline.headings, outline.headings[1:], strict=False))
        assert all(chart["role"] == "img" and len(chart["aria-label"] or "") > 20 for chart in outline.charts)
        assert all("scope" in head for head in outline.heads)
        assert len(outline.ids) == len(set(outline.ids))
        assert {*outline.labelled, *outline.targets} <= set(outline.ids)
    athlete = Outline(page(folder, "ann"))
    assert {chart["data-chart"] for chart in athlete.charts} == {
        *("load", "projection", "fan", "history", "volume", "zones", "calendar", "easy", "outcomes")
    }
    assert athlete.tables >= len(athlete.charts)


def test_the_command_says_where_the_page_is_and_who_is_near_an_unknown_id(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATHLETE_HOME", str(store.settings.home))
    assert main(["report"]) == 2
    assert "athlete-assets run fills it" in capsys.readouterr().err
    fill(store, "ann")
    assert main(["report", "--athlete", "ann"]) == 0
    address = capsys.readouterr().out.splitlines()[-1]
    assert address.startswith("file:///")
    assert Path(address.removeprefix("file://")).name == page_name("ann")
    assert main(["report", "--athlete", "anna"]) == 2
    assert "'anna'; the nearest ids: ann" in capsys.readouterr().err


def test_on_databricks_pages_need_a_volume(tmp_path: Path) -> None:
    assert folder_of(Settings(home=tmp_path, deployment="databricks")) is None
    volume = tmp_path / "volume"
    assert folder_of(Settings(home=tmp_path, deployment="databricks", reports=volume)) == volume


def test_rows_written_before_a_column_came_are_shown_as_not_known(store: LocalStore) -> None:
    fill(store, "ann")
    old = rows(tables.METRICS_SUMMARY, *store.rows(tables.METRICS_SUMMARY).to_pylist())
    assert old["fitness_ctl_365d_ago"].null_count == 1
    assert "a year ago not known" in text(write_pages(store, store.settings).athletes["ann"].read_text())
