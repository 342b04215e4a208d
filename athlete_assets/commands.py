"""What the commands do that run no asset: fill silver, tell of what is stored, export it, try the alerts."""

from __future__ import annotations

import difflib
import json
import sys
import time
import webbrowser
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from athlete_assets import tables
from athlete_assets.errors import AthleteAssetsError, InputError, StoreError
from athlete_assets.gold import export
from athlete_assets.gold.pages.place import INDEX, folder_of
from athlete_assets.gold.report import athletes_in, summary_of, summary_text
from athlete_assets.gold.status import TERMS, status_of, status_text
from athlete_assets.settings import Settings
from athlete_assets.silver import import_log, imports, landing, ownership, plan, races, sessions, statements
from athlete_assets.store.local import LocalStore
from athlete_assets.terminal import say, say_json
from athlete_assets.words import counted, nearest, verb

DEFAULT_COHORT = (30, 3.0)
"""Athletes and years of a simulated cohort."""
UNREADABLE_SHOWN = 50
SESSIONS_SHOWN = 10
NEAREST = 5


def fill_silver(
    settings: Settings,
    files: Sequence[Path],
    export: Path | None,
    athlete: str | None,
    drop_missing: bool,
    athletes: int | None,
    years: float | None,
    seed: int,
) -> None:
    """Imports the files in turn; simulates a cohort where there are none."""
    files = [*files, *([export] if export else [])]
    if not files:
        cohort = athletes or DEFAULT_COHORT[0], years or DEFAULT_COHORT[1]
        return simulate_cohort(*cohort, seed, settings)
    if athletes or years:
        raise InputError("say either files or --athletes and --years of a simulated cohort, not both")
    for file in files:
        # what one import learned of this home (its zone, its first day) holds for the next
        import_file(file, Settings.load(), athlete, drop_missing)


def is_empty(settings: Settings) -> bool:
    """Whether nothing was ever imported or simulated here."""
    return not LocalStore(settings).exists(tables.STRAVA_ACTIVITIES)


def import_file(path: Path, settings: Settings, athlete: str | None, drop_missing: bool = False) -> None:
    """Reads a file of runs and merges it into silver; raises InputError before anything is written."""
    say(f"Reading {path} ...")
    if races.is_races_file(path):
        return enter_races(path, settings, athlete)
    if plan.is_plan_file(path, settings.today):
        return enter_plan(path, settings, athlete)
    if sessions.is_sessions_file(path):
        return enter_sessions(path, settings, athlete)
    runs = imports.read_runs(path, settings, athlete, landing.held(LocalStore(settings)), say)
    if runs.time_zone:
        settings = settings.model_copy(update={"time_zone": runs.time_zone})
    store = LocalStore(settings)
    ownership.refuse_strangers(store, runs)
    gone = ownership.no_longer_there(store, runs)
    with import_log.noted(store, path.resolve().name) as done:
        report = landing.land(store, ownership.with_own_word(store, runs))
        if gone and drop_missing:
            landing.delete(store, runs.activities["athlete_id"][0].as_py(), gone)
        owners = {one for rows in (runs.activities, runs.athletes) for one in rows["athlete_id"].unique().to_pylist()}
        done.athlete = next(iter(owners)) if len(owners) == 1 else None
        done.read, done.new, done.changed = report.read, report.new, report.changed
    for note in runs.notes:
        say(f"  {note}")
    if report.read:
        span = (
            f"{report.first_day} to {report.last_day}"
            if report.first_day
            else f"none between 2000-01-01 and today ({settings.today})"
        )
        say(
            f"  {counted(report.read, 'activity')}, {span}: "
            f"{report.new} new, {report.changed} changed, {report.unchanged} as they were"
        )
    if report.first_day and report.start_date and report.first_day < report.start_date:
        say(
            f"  The calendar begins on {report.start_date}: what lies years before the others, on {report.first_day}, "
            "is left out as before_start_date. If that date is right, set ATHLETE_START_DATE to its Monday"
        )
    for nouns, rows, written in (
        (("split",), runs.splits, report.splits_written),
        (("athlete's statement", "athletes' statements"), runs.athletes, report.athletes_written),
    ):
        if rows.num_rows:
            say(f"  {counted(rows.num_rows, *nouns)}: {written} new or changed, {rows.num_rows - written} as they were")

    if runs.recordings_read or runs.recordings_known or runs.unreadable:
        recordings = counted(runs.recordings_read + runs.recordings_known, "recording")
        say(
            f"  {recordings}: {report.recordings_written} new or changed, "
            f"{runs.recordings_known} read by earlier imports"
        )
    if runs.unreadable:
        say(f"  {counted(len(runs.unreadable), 'recording')} cannot be read; the rest of the activity is taken:")
        for sentence in runs.unreadable[:UNREADABLE_SHOWN]:
            say(f"    {sentence}")
        if len(runs.unreadable) > UNREADABLE_SHOWN:
            say(f"    and {len(runs.unreadable) - UNREADABLE_SHOWN} more")

    if gone:
        listed = ", ".join(map(str, gone[:10])) + (f" and {len(gone) - 10} more" if len(gone) > 10 else "")
        if drop_missing:
            say(f"  Dropped, for this export lacks them: {counted(len(gone), 'activity')} of earlier imports: {listed}")
        else:
            say(
                f"  {counted(len(gone), 'activity')} of the last export {verb(len(gone), 'is', 'are')} no longer in "
                f"this one, and {verb(len(gone), 'stays', 'stay')}: {listed}. What was deleted at the source goes with "
                "--drop-missing"
            )
    _tell_number(done)


def _tell_number(done: import_log.Noted) -> None:
    if done.number is not None:
        say(f"  Import {done.number}; `athlete-assets undo` takes it back")


def list_imports(as_json: bool, settings: Settings) -> None:
    """Prints each import with its number, file and counts."""
    store = LocalStore(settings)
    import_log.complete(store)
    if as_json:
        return say_json(import_log.imports(store))
    for row in import_log.imports(store):
        undone = f", taken back {row['undone_at']:%Y-%m-%d %H:%M}" if row["undone_at"] else ""
        say(
            f"{row['import_number']:>4}  {row['imported_at']:%Y-%m-%d %H:%M}  {row['file_name']}: "
            f"{counted(row['activities'], 'activity')}, {row['activities_new']} new, "
            f"{row['activities_changed']} changed{undone}"
        )


def undo_import(settings: Settings) -> None:
    """Takes the last import back."""
    row = import_log.undo(LocalStore(settings))
    say(
        f"Import {row['import_number']} ({row['file_name']}) is taken back: "
        f"{counted(row['activities_new'], 'activity')} {verb(row['activities_new'], 'is', 'are')} gone, "
        f"{row['activities_changed']} as before. What follows is computed again by the sensor "
        "silver_changes (make ui), or with the next run"
    )


def enter_plan(path: Path, settings: Settings, athlete: str | None) -> None:
    """Takes a file as an athlete's whole plan, and projects it; InputError writes nothing."""
    store = LocalStore(settings)
    athlete = statements.athlete_of(store, athlete)
    rows = plan.read_plan(path, athlete)
    plan.write_plan(store, athlete, rows)
    days = [day.date() for day in rows["plan_date"].to_pylist()]
    say(f"  {counted(len(days), 'day')} planned" + (f", {min(days)} to {max(days)}" if days else ": the plan is empty"))
    if not store.exists(tables.ROLLING):
        say("  It is projected with the next `athlete-assets run`.")
        return
    from athlete_assets import runs

    if runs.project_plans(settings):
        raise StoreError("the plan is stored, but projecting it failed: `athlete-assets run` does it again")


def enter_races(path: Path, settings: Settings, athlete: str | None) -> None:
    """Marks the races of a file among the imported runs, and enters those that are missing."""
    store = LocalStore(settings)
    told = races.read_races(path, settings.today)
    athlete = statements.athlete_of(store, athlete)
    with import_log.noted(store, path.resolve().name) as note:
        done = landing.land_races(store, athlete, told)
        entered, marked = (sum(outcome == word for outcome, _ in done.values()) for word in ("entered", "marked"))
        note.athlete, note.read, note.new, note.changed = athlete, len(done), entered, marked
    say(f"  {counted(len(done), 'race')}: {marked} {verb(marked, 'is', 'are')} among the runs, {entered} entered")
    for race, (outcome, number) in done.items():
        if outcome == "inside":
            say(
                f"  {race.day}: run {number} is longer than {race.distance_m:g} m and may hold the race; nothing was "
                "marked or entered"
            )
    _tell_number(note)


def enter_sessions(path: Path, settings: Settings, athlete: str | None) -> None:
    """Has the sessions of a file count as the athlete says, and enters those that are missing."""
    store = LocalStore(settings)
    told = sessions.read_sessions(path, settings.today)
    athlete = statements.athlete_of(store, athlete)
    with import_log.noted(store, path.resolve().name) as note:
        done = landing.land_sessions(store, athlete, told)
        entered = sum(is_entered for _, _, is_entered in done)
        note.athlete, note.read, note.new, note.changed = athlete, len(done), entered, len(done) - entered
    say(f"  {counted(len(done), 'session')}: {len(done) - entered} among the activities, {entered} entered")
    _tell_number(note)


def tell_or_state(words: list[str], settings: Settings) -> None:
    """`athlete [ID] [set ... | unset ... | session ...]`: says what holds of the athlete, after what is to be stated or
    withdrawn."""
    store = LocalStore(settings)
    named, verb, rest = _taken_apart(words)
    athlete = statements.athlete_of(store, named)
    if verb == "session":
        import_log.complete(store)
        told = [sessions.session_of_words(rest, settings.today)]
        ((session, which, is_entered),) = landing.land_sessions(store, athlete, told)
        outcome = "entered" if is_entered else "stored"
        say(f"{athlete}: {session.day} {which}: {outcome}. {_follows(session.day)}")
    elif verb:
        since = (statements.state if verb == "set" else statements.withdraw)(store, athlete, rest)
        say(f"{athlete}: stored. {_follows(since)}")
    held: set[str] = set()
    for said in statements.stated(store, athlete):
        until = "" if said.name not in held else "  (until then)"
        say(f"  {said.name:<16} {said.value:<14} {said.since}{'' if said.is_own else ', by an import'}{until}")
        held.add(said.name)
    nothing = [name for name in statements.STATEMENTS if name not in held]
    if nothing:
        say(f"  not stated: {', '.join(nothing)}")
    told_of = landing.stated_sessions(store, athlete)
    if len(told_of) > SESSIONS_SHOWN:
        say(f"  sessions told of: {len(told_of)}, the last of them:")
    for row in told_of[-SESSIONS_SHOWN:]:
        figures = " ".join(f"{name}={row[of]:g}" for name, of in sessions.FIGURES.items() if row[of] is not None)
        minutes = f"{row['moving_time'] / 60:.0f} min{', entered' if row['is_entered'] else ''}"
        say(f"  session          {figures:<14} {row['begins']:%Y-%m-%d %H:%M}, {minutes}")


def _follows(since: date | None) -> str:
    return (
        f"What follows {f'on {since} and later' if since else 'on all days'} is computed again by the sensor "
        "silver_changes (make ui), or with the next run"
    )


def _taken_apart(words: list[str]) -> tuple[str | None, str | None, list[str]]:
    """ID, `set`, `unset` or `session`, and what follows. Raises InputError for words in another order."""
    verbs = ("set", "unset", "session")
    place = next((at for at, word in enumerate(words[:2]) if word in verbs), None)
    if place == 0 and len(words) > 1 and words[1] in verbs:
        place = 1  # an athlete by that name
    before = words[:place] if place is not None else words
    if len(before) > 1 or (before and "=" in before[0]):
        raise InputError(f"{' '.join(words)}: say athlete [ID] set NAME=VALUE ..., such as athlete set max-hr=187")
    named = before[0] if before else None
    return (named, None, []) if place is None else (named, words[place], words[place + 1 :])


def simulate_cohort(athletes: int, years: float, seed: int, settings: Settings) -> None:
    """Fills silver with a simulated cohort that ends today."""
    from athlete_assets.silver import simulator

    say(f"Simulating {counted(athletes, 'athlete')} over {years:g} year{'' if years == 1 else 's'} (seed {seed}) ...")
    store, done = LocalStore(settings), 0
    for batch in simulator.simulate(athletes, years, seed, settings.today):
        landing.land(store, batch)
        done += batch.activities.num_rows
        say(f"  {counted(done, 'activity')}")


def print_status(athlete: str | None, as_json: bool, settings: Settings) -> None:
    """Prints athletes, activities, rejects, form and predicted times of what is stored; of one athlete all about it."""
    store = LocalStore(settings)
    if as_json:
        return say_json(
            summary_of(store) if athlete is None else status_of(store, statements.athlete_of(store, athlete))
        )
    if athlete is not None:
        return say(status_text(store, statements.athlete_of(store, athlete)))
    say("")
    say(summary_text(store))
    if len(ids := athletes_in(store)) == 1:
        say("")
        say(status_text(store, ids[0]))
    elif ids:
        say(f"\nOne athlete in full:  athlete-assets status --athlete ID   (terms: {TERMS})")
    folder = folder_of(settings)
    if folder and (folder / INDEX).is_file():
        say(f"\nThe pages:  {(folder / INDEX).as_uri()}   (athlete-assets report --open)")
    say("\nOpen the Dagster UI with:  athlete-assets ui (or make ui)   (then look at http://127.0.0.1:3000)")


def print_predictions(athlete: str | None, day: date | None, as_json: bool, settings: Settings) -> None:
    """Prints what was predicted for an athlete, newest day first, or of one day with its features."""
    from athlete_assets.gold.history import history, history_text

    store = LocalStore(settings)
    found = history(store, statements.athlete_of(store, athlete), day)
    return say_json(found) if as_json else say(history_text(found, day))


def try_alerts(settings: Settings) -> int:
    """Sends one message through each channel that the settings name, and says how each took it. 0 where all did."""
    from athlete_assets.monitoring.alerts import message_to_try
    from athlete_assets.monitoring.channels import channels_of
    from athlete_assets.monitoring.delivery import Undelivered, deliver

    alert = message_to_try(time.time())
    wrong = 0
    for channel in channels_of(settings):
        _, troubles = deliver([Undelivered(alert=alert, to=[channel.name])], [channel])
        wrong += len(troubles)
        say(f"{channel.name}: {troubles[0].removeprefix(f'{channel.name}: ') if troubles else 'sent'}")
    return 1 if wrong else 0


def export_table(name: str, format: export.Format, athlete: str | None, out: Path | None, settings: Settings) -> None:
    """Writes a table to a file, or to the terminal. Raises InputError before anything is written."""
    if format == "parquet" and out is None:
        raise InputError("Parquet is no text: say where it is to go with --out FILE")
    if out is not None and not out.resolve().parent.is_dir():
        raise InputError(f"{out}: the folder {out.resolve().parent} does not exist; make it first")
    store = LocalStore(settings)
    data = export.exported(store, name, format, athlete and statements.athlete_of(store, athlete))
    if out is None:
        sys.stdout.write(data.decode())
        return
    partial = out.with_name(f"{out.name}.partial")
    partial.write_bytes(data)
    partial.replace(out)
    say(f"{len(data)} bytes written to {out}")


def write_report(settings: Settings, athlete: str | None, open_it: bool) -> int:
    """Writes the pages whose numbers changed, and says, or opens, the address of the coach's or of an athlete's."""
    from athlete_assets.gold.pages import site

    store = LocalStore(settings)
    if athlete is not None:
        known = store.rows(tables.METRICS_SUMMARY, ["athlete_id"])["athlete_id"].to_pylist()
        if athlete not in known:
            near = difflib.get_close_matches(athlete, known, n=NEAREST, cutoff=0.4) or sorted(known)[:NEAREST]
            raise InputError(f"there is no page of {athlete!r}; the nearest ids: {', '.join(near) or 'there is none'}")
    if not store.exists(tables.METRICS_SUMMARY):
        raise AthleteAssetsError(f"there is nothing to show in {settings.home} yet: athlete-assets run fills it")
    pages = site.write_pages(store, settings)
    page = pages.index if athlete is None else pages.athletes[athlete]
    say(f"Pages of athletes that had changed: {pages.rendered} of {len(pages.athletes)}, written to {pages.folder}")
    say(page.as_uri())
    if open_it and not webbrowser.open(page.as_uri()):
        say("No browser was found here; open the address by hand.")
    return 0


def judge_models(
    runs: Sequence[Path],
    train_runs: Sequence[Path],
    athletes: int | None,
    years: float | None,
    seed: int,
    out: Path | None,
    settings: Settings,
) -> None:
    """Evaluates the models on files of runs or a simulated cohort, prints the tables, and writes the figures as JSON
    where asked to."""
    from athlete_assets.models import backtest
    from athlete_assets.models.evaluation import evaluate

    if runs and (athletes or years):
        raise InputError("say either --runs or --athletes and --years of a simulated cohort, not both")
    if train_runs and not runs:
        raise InputError("--train-runs says what is learned from; say with --runs what is to be predicted")
    if out is not None and not out.resolve().parent.is_dir():
        raise AthleteAssetsError(f"{out}: the folder {out.resolve().parent} does not exist; make it first")
    if runs:
        scored = backtest.labelled_files(runs, settings, say)
    else:
        cohort = athletes or DEFAULT_COHORT[0], years or DEFAULT_COHORT[1]
        scored = backtest.labelled_cohort(*cohort, seed, settings, say)
    training = backtest.labelled_files(train_runs, settings, say) if train_runs else None
    report = evaluate(scored, training, settings, say)
    say("")
    say(report.pop("text"))
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n")
        say(f"Figures written to {out}")


def roll_back(model: str, settings: Settings) -> None:
    """Has the champion before the present one serve again."""
    from athlete_assets.models.promotion import rollback
    from athlete_assets.models.registry import quietly
    from athlete_assets.models.specs import MODELS

    if model not in MODELS:
        raise InputError(f"there is no model {model}; {nearest(model, MODELS, 'the models are')}")
    with quietly():
        before, now = rollback(model, settings)
    say(f"{model}: version {now} serves again in place of {before}")
