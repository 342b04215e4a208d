"""`athlete-assets`: import, run, status, rebuild, repair, ui. Thin: the work is in the modules that it calls.

Exit codes: 0 done; 1 an asset or a check failed; 2 bad input or a bad setting (one sentence, nothing written).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from athlete_assets.errors import AthleteAssetsError, SettingsError
from athlete_assets.settings import Settings

ATHLETE_HELP = """\
  athlete-assets athlete [ID]                          what holds, and from when
  athlete-assets athlete [ID] set NAME=VALUE ...       state it; from=yyyy-mm-dd says from which day it holds
  athlete-assets athlete [ID] unset NAME ...           take it back; from=yyyy-mm-dd that of this day alone

ID may be left out where the home has one athlete. Names: max-hr, resting-hr, threshold-hr (bpm), threshold-pace
(minutes and seconds a km, 4:25), ftp (W), birth-year, sex (F, M), zones (max-hr, reserve, threshold-hr, or where zones
2 to 5 begin: 120,140,155,170), load (pace or heart-rate first), starting-fitness and starting-fatigue (of a log that
begins in the middle of a career). Without from= a statement holds for all days; with it no earlier day knows it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; see `athlete-assets --help`."""
    options = parser().parse_args(arguments)
    try:
        return int(options.command(options, Settings.load()))
    except AthleteAssetsError as error:
        print(f"athlete-assets: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("athlete-assets: interrupted; what was committed stays", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _fill_silver(options, settings)
    return commands.materialise_everything(Settings.load())


def _import(options: argparse.Namespace, settings: Settings) -> int:
    _fill_silver(options, settings)
    return 0


def _fill_silver(options: argparse.Namespace, settings: Settings) -> None:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    files = [*options.files, *([options.export] if options.export is not None else [])]
    for file in files:
        # what one import learned of this home (its zone, its first day) holds for the next
        commands.import_file(file, Settings.load(), options.athlete, options.drop_missing)
    if not files:
        commands.simulate_cohort(options.athletes, options.years, options.seed, settings)


def _of_the_local_deployment(settings: Settings) -> None:
    """Raises SettingsError elsewhere: the command would fill, or tell of, tables that nothing else looks at."""
    if settings.deployment != "local":
        raise SettingsError(
            f"setting ATHLETE_DEPLOYMENT={settings.deployment}: this command works on the tables in ATHLETE_HOME; on "
            "Databricks silver is your pipeline's, and tables are materialised by the sensors or from the Dagster UI"
        )


def _status(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    commands.print_summary(settings, options.athlete)
    return 0


def _plan(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    return commands.set_plan(options.file, options.athlete, settings)


def _imports(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    commands.list_imports(settings)
    return 0


def _undo(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    commands.undo_import(settings)
    return 0


def _athlete(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    commands.tell_or_state(options.words, settings)
    return 0


def _predictions(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    commands.print_predictions(options.athlete, options.day, options.json, settings)
    return 0


def _export(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    commands.export_table(options.table, options.format, options.athlete, options.out, settings)
    return 0


def _report(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    return commands.write_report(settings, options.athlete, options.open)


def _ui(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    return commands.open_ui(settings, options.port)


def _maintain(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    _of_the_local_deployment(settings)
    return commands.maintain(settings)


def _databricks_init(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets.deployments.databricks import setup

    return setup.init(settings, dry_run=options.dry_run)


def _databricks_check(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets.deployments.databricks import setup

    return setup.check(settings, run=options.run)


def _evaluate(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    commands.judge_models(options.runs, options.train_runs, options.json, settings)
    return 0


def _forget(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    if settings.deployment == "databricks":
        return commands.tell_forget_job(options.athlete)
    return commands.forget_athlete(options.athlete, options.retrain, settings)


def _rollback(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets.errors import InputError
    from athlete_assets.models.promotion import rollback
    from athlete_assets.models.specs import MODELS

    if options.model not in MODELS:
        raise InputError(f"there is no model {options.model}; the models are: {', '.join(MODELS)}")
    before, now = rollback(options.model, settings)
    print(f"{options.model}: version {now} serves again in place of {before}")
    return 0


def _doctor(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands, doctor

    return doctor.doctor(settings, commands.say)


def _next(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands, upcoming

    _of_the_local_deployment(settings)
    return upcoming.tell_what_is_next(settings, commands.say)


def _alerts(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import commands

    return commands.try_alerts(settings)


def _rebuild(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import rebuild

    _of_the_local_deployment(settings)
    return rebuild.rebuild(options.table, settings)


def _repair(options: argparse.Namespace, settings: Settings) -> int:
    from athlete_assets import rebuild

    _of_the_local_deployment(settings)
    return rebuild.repair(settings, options.dry_run)


def parser() -> argparse.ArgumentParser:
    """The command line: what it takes, and what each command calls."""
    whole = argparse.ArgumentParser(
        prog="athlete-assets", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    whole.add_argument("--version", action="version", version=f"%(prog)s {version('athlete-assets')}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def silver_source(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--export",
            type=_path,
            help="Strava export (zip, folder, CSV), FIT, GPX or TCX files, or runs as CSV or Parquet",
        )
        command.add_argument("--athlete", help="athlete id for an export or recordings that name none")
        command.add_argument(
            "--drop-missing", action="store_true", help="drop what earlier exports had and this one has not"
        )
        command.add_argument("--athletes", type=_positive_int, default=30, help="simulated athletes (without --export)")
        command.add_argument("--years", type=_positive_float, default=3.0, help="simulated years (without --export)")
        command.add_argument("--seed", type=int, default=1, help="seed of the simulation")

    run = commands.add_parser("run", help="fill silver, then materialise every asset and print a summary")
    silver_source(run)
    run.set_defaults(command=_run, files=[])
    importer = commands.add_parser("import", help="fill silver only: a file, or a simulated cohort")
    importer.add_argument("files", nargs="*", type=_path, metavar="FILE", help="as --export takes one; several in turn")
    silver_source(importer)
    importer.set_defaults(command=_import)
    status = commands.add_parser("status", help="print the summary of what is there, or all about one athlete")
    status.add_argument("--athlete", metavar="ID", help="fitness, form, room for load, bests, predictions, rejects")
    status.set_defaults(command=_status)
    planned = commands.add_parser("plan", help="take a CSV file (date, load or minutes, race) as an athlete's plan")
    planned.add_argument("file", type=_path, help="the whole plan, a day a line: date,load,minutes,race")
    planned.add_argument("--athlete", metavar="ID", help="whose it is, where the home holds several athletes")
    planned.set_defaults(command=_plan)
    listed = commands.add_parser("imports", help="list the imports: number, time, file, activities")
    listed.set_defaults(command=_imports)
    back_again = commands.add_parser("undo", help="take the last import back")
    back_again.set_defaults(command=_undo)
    athlete = commands.add_parser(
        "athlete",
        help="say what holds of an athlete and from when, or state it: max-hr=187 from=2026-01-01",
        formatter_class=argparse.RawTextHelpFormatter,
        description=ATHLETE_HELP,
    )
    athlete.add_argument("words", nargs="*", metavar="[ID] [set NAME=VALUE ... | unset NAME ...] [from=DAY]")
    athlete.set_defaults(command=_athlete)
    past = commands.add_parser("predictions", help="what was predicted for an athlete, by which version")
    past.add_argument("--athlete", metavar="ID", help="needed where the home holds several athletes")
    past.add_argument("--day", type=_day, help="one day (yyyy-MM-dd), with the features that it was predicted from")
    past.add_argument("--json", action="store_true", help="as JSON, all days and columns")
    past.set_defaults(command=_predictions)
    coming = commands.add_parser("next", help="say what the sensors and schedules would run next, and why")
    coming.set_defaults(command=_next)
    health = commands.add_parser("doctor", help="look at this machine and this home, and say what is to do")
    health.set_defaults(command=_doctor)
    alerts = commands.add_parser("alerts", help="send one message through each channel of alerts")
    alerts.add_argument("--test", action="store_true", required=True, help="say that it is a test")
    alerts.set_defaults(command=_alerts)
    export = commands.add_parser("export", help="write a table as CSV, JSON or Parquet")
    export.add_argument("table", help="a table such as gold.athlete_projection, or `summary`")
    export.add_argument("--format", choices=("csv", "json", "parquet"), default="csv")
    export.add_argument("--athlete", metavar="ID", help="the rows of one athlete")
    export.add_argument("--out", type=_path, metavar="FILE", help="a file; without it the terminal")
    export.set_defaults(command=_export)
    report = commands.add_parser("report", help="write the HTML pages whose numbers changed, and say where they are")
    report.add_argument("--athlete", metavar="ID", help="tell of this athlete's page in place of the coach's")
    report.add_argument("--open", action="store_true", help="open it in the browser")
    report.set_defaults(command=_report)
    maintain = commands.add_parser("maintain", help="compact tables; remove old versions, runs and models")
    maintain.set_defaults(command=_maintain)
    bricks = commands.add_parser("databricks", help="set a Databricks workspace up, and try everything that it needs")
    steps = bricks.add_subparsers(required=True, metavar="STEP")
    init = steps.add_parser("init", help="make schemas, grants, staging volume, secret scope and cluster policy")
    init.add_argument("--dry-run", action="store_true", help="print the SQL and the calls, change nothing")
    init.set_defaults(command=_databricks_init)
    check = steps.add_parser("check", help="try every right and setting, one line each, and say what to do")
    check.add_argument("--run", action="store_true", help="also start the cluster and import the code there (costs)")
    check.set_defaults(command=_databricks_check)
    judge = commands.add_parser("evaluate", help="train and judge the models on a file of runs, in a scratch home")
    judge.add_argument("--runs", type=_path, required=True, help="any file that import takes: the runs to predict")
    judge.add_argument("--train-runs", type=_path, help="train on this file (default: on other athletes of --runs)")
    judge.add_argument("--json", type=_path, metavar="OUT", help="also write the figures here")
    judge.set_defaults(command=_evaluate)
    back = commands.add_parser("rollback", help="let the champion before the present one serve again")
    back.add_argument("model", help="time_estimator, overtraining_detector ...: the name of its asset")
    back.set_defaults(command=_rollback)
    forget = commands.add_parser("forget", help="take an athlete out of everything below ATHLETE_HOME, and prove it")
    forget.add_argument("--athlete", required=True, metavar="ID", help="the athlete's id, as silver has it")
    forget.add_argument("--retrain", action="store_true", help="train the models anew, without the athlete")
    forget.set_defaults(command=_forget)
    again = commands.add_parser("rebuild", help="make a derived table anew, with the columns of its present contract")
    again.add_argument("table", help="name or schema.name, such as feature_store.athlete_rolling_features")
    again.set_defaults(command=_rebuild)
    mender = commands.add_parser("repair", help="mend tables whose files are damaged, and compute anew what was lost")
    mender.add_argument("--dry-run", action="store_true", help="say what is damaged, change nothing")
    mender.set_defaults(command=_repair)
    ui = commands.add_parser("ui", help="open the Dagster UI (webserver and daemon) on this home")
    ui.add_argument("--port", type=_port, default=3000, help="of the webserver, on this machine alone")
    ui.set_defaults(command=_ui)
    return whole


def _path(text: str) -> Path:
    """A path; a ~ that the shell left alone (as zsh does in make run EXPORT=~/a.csv) is the home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text}: there is no such user's home folder") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a day such as 2024-05-15") from None


def _positive_int(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return value


def _positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 50:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0 and at most 50")
    return value


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text} is not a port: a whole number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
