"""What the command line does: fill silver, materialise every asset in recorded runs, print the summary, open the UI."""

from __future__ import annotations

import difflib
import json
import os
import socket
import sys
import time
import webbrowser
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import dagster as dg

from athlete_assets import partitions, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.models import model_key
from athlete_assets.deployments.in_process import executed
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.deployments.pages_server import shown
from athlete_assets.deployments.run_launcher import end_lost_runs
from athlete_assets.deployments.ui import Heartbeats, serve
from athlete_assets.errors import AthleteAssetsError, InputError, StoreError
from athlete_assets.gold import export
from athlete_assets.gold.pages import site
from athlete_assets.gold.report import athletes_in, summary_text
from athlete_assets.gold.status import TERMS, status_text
from athlete_assets.models.specs import MODELS
from athlete_assets.monitoring.alerts import message_to_try
from athlete_assets.monitoring.channels import channels_of
from athlete_assets.monitoring.delivery import Undelivered, deliver
from athlete_assets.orchestration.maintenance import MAINTENANCE_JOB
from athlete_assets.orchestration.run_requests import GOLD_TABLES
from athlete_assets.settings import Settings
from athlete_assets.silver import import_log, imports, landing, ownership, plan, races, sessions, simulator, statements
from athlete_assets.store.local import LocalStore

UNREADABLE_SHOWN = 50
SESSIONS_SHOWN = 10
NEAREST = 5


def import_file(path: Path, settings: Settings, athlete: str | None, drop_missing: bool = False) -> None:
    """Reads a file of runs and merges it into silver; raises InputError before anything is written."""
    say(f"Reading {path} ...")
    if races.is_races_file(path):
        return enter_races(path, settings, athlete)
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
            f"  {report.read} activities, {span}: "
            f"{report.new} new, {report.changed} changed, {report.unchanged} as they were"
        )
    if report.first_day and report.start_date and report.first_day < report.start_date:
        say(
            f"  The calendar begins on {report.start_date}: what lies years before the others, on {report.first_day}, "
            "is left out as before_start_date. If that date is right, set ATHLETE_START_DATE to its Monday"
        )
    for noun, rows, written in (
        ("splits", runs.splits, report.splits_written),
        ("athletes' statements", runs.athletes, report.athletes_written),
    ):
        if rows.num_rows:
            say(f"  {rows.num_rows} {noun}: {written} new or changed, {rows.num_rows - written} as they were")

    if runs.recordings_read or runs.recordings_known or runs.unreadable:
        say(
            f"  {runs.recordings_read + runs.recordings_known} recordings: {report.recordings_written} new or changed, "
            f"{runs.recordings_known} read by earlier imports"
        )
    if runs.unreadable:
        say(f"  {len(runs.unreadable)} recordings cannot be read; of their activities the rest is taken:")
        for sentence in runs.unreadable[:UNREADABLE_SHOWN]:
            say(f"    {sentence}")
        if len(runs.unreadable) > UNREADABLE_SHOWN:
            say(f"    and {len(runs.unreadable) - UNREADABLE_SHOWN} more")

    if gone:
        listed = ", ".join(map(str, gone[:10])) + (f" and {len(gone) - 10} more" if len(gone) > 10 else "")
        if drop_missing:
            say(f"  {len(gone)} activities of earlier imports were dropped, for this export lacks them: {listed}")
        else:
            say(
                f"  {len(gone)} activities of the last export are no longer in this one, and stay: {listed}. If they "
                "were deleted at the source, import again with --drop-missing"
            )
    _tell_number(done)


def _tell_number(done: import_log.Noted) -> None:
    if done.number is not None:
        say(f"  Import {done.number}; `athlete-assets undo` takes it back")


def list_imports(settings: Settings) -> None:
    """Prints each import with its number, file and counts."""
    store = LocalStore(settings)
    import_log.complete(store)
    for row in import_log.imports(store):
        undone = f", taken back {row['undone_at']:%Y-%m-%d %H:%M}" if row["undone_at"] else ""
        say(
            f"{row['import_number']:>4}  {row['imported_at']:%Y-%m-%d %H:%M}  {row['file_name']}: {row['activities']} "
            f"activities, {row['activities_new']} new, {row['activities_changed']} changed{undone}"
        )


def undo_import(settings: Settings) -> None:
    """Takes the last import back."""
    row = import_log.undo(LocalStore(settings))
    say(
        f"Import {row['import_number']} ({row['file_name']}) is taken back: {row['activities_new']} activities are "
        f"gone, {row['activities_changed']} as they were before. What follows is computed again by the sensor "
        "silver_changes (make ui), or with the next run"
    )


def set_plan(path: Path, athlete: str | None, settings: Settings) -> int:
    """Takes a file as an athlete's plan, and projects it. 0 when all went well, else 1; InputError writes nothing."""
    from athlete_assets import definitions

    store = LocalStore(settings)
    athlete = statements.athlete_of(store, athlete)
    rows = plan.read_plan(path, athlete)
    plan.write_plan(store, athlete, rows)
    days = [day.date() for day in rows["plan_date"].to_pylist()]
    say(f"{len(days)} days planned" + (f", {min(days)} to {max(days)}" if days else ": the plan is empty"))
    if not store.exists(tables.ROLLING):
        say("It is projected with the next `athlete-assets run`.")
        return 0
    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(settings))
    job = definitions.build(settings).resolve_implicit_global_asset_job_def()
    projected = job.get_subset(asset_selection=set(_keys(tables.PROJECTION, tables.LOAD_ROOM)))
    return 0 if executed(projected, say).success else 1


def enter_races(path: Path, settings: Settings, athlete: str | None) -> None:
    """Marks the races of a file among the imported runs, and enters those that are missing."""
    store = LocalStore(settings)
    told = races.read_races(path, settings.today)
    athlete = statements.athlete_of(store, athlete)
    with import_log.noted(store, path.resolve().name) as note:
        done = landing.land_races(store, athlete, told)
        counts = [sum(outcome == word for outcome, _ in done.values()) for word in ("entered", "marked")]
        note.athlete, note.read, note.new, note.changed = athlete, len(done), *counts
    count = {word: sum(outcome == word for outcome, _ in done.values()) for word in ("marked", "entered")}
    say(f"  {len(done)} races: {count['marked']} are among the runs, {count['entered']} entered")
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
    say(f"  {len(done)} sessions: {len(done) - entered} are among the activities, {entered} entered")
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
    say(f"Simulating {athletes} athletes over {years:g} years (seed {seed}) ...")
    store, done = LocalStore(settings), 0
    for batch in simulator.simulate(athletes, years, seed, settings.today):
        landing.land(store, batch)
        done += batch.activities.num_rows
        say(f"  {done} activities")


def materialise_everything(settings: Settings) -> int:
    """Materialises all assets, oldest partition to newest, and prints the summary. 0 when all went well, else 1."""
    from athlete_assets import definitions

    store = LocalStore(settings)
    if not store.exists(tables.STRAVA_ACTIVITIES):
        raise AthleteAssetsError(
            f"there are no activities in {settings.home}; import a file or simulate a cohort first"
        )
    if not landing.has_activities_in_calendar(store):
        raise AthleteAssetsError(
            f"no activity in {settings.home} lies between 2000-01-01 and today ({settings.today}), so there is nothing "
            "to compute; look at the dates in the imported file"
        )
    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(settings))
    built = definitions.build(settings)
    everything = built.resolve_implicit_global_asset_job_def()
    to_do = steps(settings)
    for number, (title, keys, span) in enumerate(to_do, start=1):
        started = time.monotonic()
        say(f"[{number}/{len(to_do)}] {title}" + (f", {span[0]} to {span[1]}" if span else ""))
        if not executed(everything.get_subset(asset_selection=set(keys)), say, span).success:
            return 1
        say(f"  done in {time.monotonic() - started:.1f} s")
    print_summary(settings)
    return 0


def steps(settings: Settings) -> list[tuple[str, list[dg.AssetKey], tuple[str, str] | None]]:
    """The runs that make everything: title, assets, and first and last partition where they have partitions."""
    days, weeks = partitions.whole(partitions.daily(settings)), partitions.whole(partitions.weekly(settings))
    return [
        ("daily features", _keys(*tables.DAILY_TABLES, *tables.STATE_TABLES), days),
        ("weekly features", _keys(*tables.WEEKLY_TABLES), weeks),
        ("labels", _keys(*tables.LABELS), None),
        ("models", [model_key(spec) for spec in MODELS.values()], None),
        ("predictions, summary and pages", _keys(*GOLD_TABLES), (days[1], days[1])),
    ]


def maintain(settings: Settings) -> int:
    """Runs the weekly maintenance now and prints what lay there before and after. 0 when all went well, else 1."""
    from athlete_assets import definitions

    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(settings))
    job = definitions.build(settings).resolve_job_def(MAINTENANCE_JOB)
    result = executed(job, say)
    for event in result.all_events:
        if event.is_successful_output and "sizes" in event.step_output_data.metadata:
            sizes = event.step_output_data.metadata["sizes"]
            assert isinstance(sizes, dg.TableMetadataValue)
            for record in sizes.records:
                size = record.data
                say(
                    f"  {size['what']}: {size['files before']} files, {size['MB before']} MB -> "
                    f"{size['files after']} files, {size['MB after']} MB"
                    + (f" ({size['note']})" if size["note"] else "")
                )
    return 0 if result.success else 1


def print_summary(settings: Settings, athlete: str | None = None) -> None:
    """Prints athletes, activities, rejects, form and predicted times of what is stored; of one athlete all about it."""
    store = LocalStore(settings)
    if athlete is not None:
        say(status_text(store, statements.athlete_of(store, athlete)))
        return
    say("")
    say(summary_text(store))
    if len(ids := athletes_in(store)) == 1:
        say("")
        say(status_text(store, ids[0]))
    elif ids:
        say(f"\nOne athlete in full:  athlete-assets status --athlete ID   (terms: {TERMS})")
    folder = site.folder_of(settings)
    if folder and (folder / site.INDEX).is_file():
        say(f"\nThe pages:  {(folder / site.INDEX).as_uri()}   (athlete-assets report --open)")
    say("\nOpen the Dagster UI with:  athlete-assets ui (or make ui)   (then look at http://127.0.0.1:3000)")


def print_predictions(athlete: str | None, day: date | None, as_json: bool, settings: Settings) -> None:
    """Prints what was predicted for an athlete, newest day first, or of one day with its features."""
    from athlete_assets.gold.history import history, history_text

    store = LocalStore(settings)
    found = history(store, statements.athlete_of(store, athlete), day)
    say(json.dumps(found, indent=2) if as_json else history_text(found, day))


def try_alerts(settings: Settings) -> int:
    """Sends one message through each channel that the settings name, and says how each took it. 0 where all did."""
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
    store = LocalStore(settings)
    if athlete is not None:
        known = store.rows(tables.METRICS_SUMMARY, ["athlete_id"])["athlete_id"].to_pylist()
        if athlete not in known:
            near = difflib.get_close_matches(athlete, known, n=NEAREST, cutoff=0.4) or sorted(known)[:NEAREST]
            raise InputError(f"there is no page of {athlete!r}; the nearest ids: {', '.join(near) or 'there is none'}")
    if not store.exists(tables.METRICS_SUMMARY):
        raise AthleteAssetsError(f"there is nothing to show in {settings.home} yet: make run fills it")
    pages = site.write_pages(store, settings)
    page = pages.index if athlete is None else pages.athletes[athlete]
    say(f"{pages.rendered} of {len(pages.athletes)} athletes' pages had changed and were written to {pages.folder}")
    say(page.as_uri())
    if open_it and not webbrowser.open(page.as_uri()):
        say("No browser was found here; open the address by hand.")
    return 0


def judge_models(runs: Path, train_runs: Path | None, out: Path | None, settings: Settings) -> None:
    """Evaluates the models on files of runs, prints the tables, and writes the figures as JSON where asked to."""
    from athlete_assets.models.backtest import evaluate

    if out is not None and not out.resolve().parent.is_dir():
        raise AthleteAssetsError(f"{out}: the folder {out.resolve().parent} does not exist; make it first")
    report = evaluate(runs, train_runs, settings, say)
    say("")
    say(report.pop("text"))
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n")
        say(f"Figures written to {out}")


def forget_athlete(athlete: str, retrain: bool, settings: Settings) -> int:
    """Takes an athlete out of the home. 0 where no file holds the id any more, 1 where one does or training failed."""
    from athlete_assets.forgetting.athlete import SHOWN, forget

    say(f"Forgetting {athlete} ...")
    try:
        done = forget(athlete, settings, say)
    except StoreError as error:
        say(f"Not completed: {error}")
        return 1
    say(f"{sum(done.rows.values())} rows taken out; earlier versions of those tables are gone.")
    if done.versions:
        say("Trained or judged with the athlete, and kept:")
        for version in done.versions:
            say(f"  {version}")
        if not retrain:
            say("  --retrain trains the models anew.")
    if done.has_pages and not done.left:
        site.write_pages(LocalStore(settings), settings)  # the coach's page, without the athlete
    if done.left:
        say(f"The id still stands in {len(done.left)} places below {settings.home}:")
        for place in done.left[:SHOWN]:
            say(f"  {place}")
        say("Remove these files, or what holds the id in them, and run forget again.")
        return 1
    say(f"Proved: no file below {settings.home} holds the id.")
    return _retrained(settings) if retrain else 0


def tell_forget_job(athlete: str) -> int:
    """Says what to start where the tables are Unity Catalog's; the id itself is to stand in no run's config."""
    from athlete_assets.forgetting.workspace import FORGET_JOB, digest_of

    say(
        "Delete the athlete in silver first: it is your pipeline's. Then start the job "
        f"{FORGET_JOB} (Dagster UI, launchpad) with:\n"
    )
    say(f"ops:\n  take_out:\n    config:\n      digest: {digest_of(athlete)}\n")
    say("What else to do, and what the job cannot reach, is in docs/security.md.")
    return 0


def _retrained(settings: Settings) -> int:
    from athlete_assets import definitions

    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(settings))
    built = definitions.build(settings)
    keys = {*definitions.MODELS, *(asset_key(table) for table in tables.LABELS)}
    say("Training the models anew ...")
    result = executed(built.resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys), say)
    if not result.success:
        return 1
    for check in result.get_asset_check_evaluations():
        if check.check_name == "gate":
            say(f"  {check.asset_key.path[-1]}: {'serves' if check.passed else 'does not serve'}; {check.description}")
    return 0


def open_ui(settings: Settings, port: int) -> int:
    """Runs `dagster dev` (webserver, daemon, code server) on this home until it is told to end; 0 then.

    Raises InputError where something else listens on the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the webserver does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise InputError(
                f"port {port} cannot be had: another program listens there, perhaps an earlier `athlete-assets ui`, "
                "or it is reserved; end that, or choose another one with --port"
            ) from None
    home = str(prepare_dagster_home(settings))
    environment = {**os.environ, "DAGSTER_HOME": home}
    if "ui_url" not in settings.model_fields_set:
        environment["ATHLETE_UI_URL"] = f"http://127.0.0.1:{port}"  # for the links in alerts
    arguments = ["dev", "-m", "athlete_assets.definitions", "--host", "127.0.0.1", "--port", str(port)]
    with dg.DagsterInstance.from_config(home) as instance:
        if settings.deployment == "local":  # what a lost run left on a cluster is ended before its pools are free
            for sentence in end_lost_runs(instance):
                say(sentence)
        heartbeats = Heartbeats(instance, say)
        folder = site.folder_of(settings)
        with shown(folder, port + 1) if folder and not settings.reports_url else nullcontext() as address:
            if address:
                environment["ATHLETE_REPORTS_URL"] = address
                say(f"The pages: {address}/{site.INDEX}")
            return serve([sys.executable, "-m", "dagster", *arguments], environment, heartbeats.look)


def say(line: str) -> None:
    print(line, flush=True)


def _keys(*of: tables.Table) -> list[dg.AssetKey]:
    return [asset_key(table) for table in of]
