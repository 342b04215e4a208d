"""The command line `athlete-assets`. Thin: what a command takes and is for; the work is in the modules that it calls.

Nothing heavy is imported before a command runs: `--help`, `--version` and a shell's completion answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from athlete_assets import garbage
from athlete_assets.errors import AthleteAssetsError, InputError, SettingsError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from athlete_assets.settings import Settings

PROGRAM = "athlete-assets"
DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
EXIT_CODES = {
    DONE: "done; with doctor: all is well",
    FAILED: "an asset, a check, a channel or a proof failed; with doctor and repair --dry-run: something is to do",
    REFUSED: "bad input, a bad setting or a wrong call: one sentence on stderr, nothing written",
    INTERRUPTED: "Ctrl-C; what was committed stays",
}
"""What the command line ends with, and why. `ui` that could not be kept running ends with the webserver's own code."""

SECTIONS = {
    "Data in": ("import", "imports", "undo", "athlete"),
    "Compute": ("run", "evaluate"),
    "Look": ("status", "predictions", "report", "export", "ui"),
    "Keep it well": ("doctor", "plan", "alerts", "maintain", "rebuild", "repair", "rollback", "forget"),
    "Databricks": ("databricks",),
}

Function = TypeVar("Function", bound=Callable[..., Any])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; see `athlete-assets --help`. Returns one of EXIT_CODES."""
    garbage.seek_less()
    try:
        return int(cli.main(arguments, PROGRAM, standalone_mode=False) or DONE)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return REFUSED
    except click.UsageError as error:
        called = error.ctx.command_path if error.ctx else PROGRAM
        return _ended(f"{error.format_message()} ({called} --help)", REFUSED)
    except AthleteAssetsError as error:
        return _ended(str(error), REFUSED)
    except click.Abort:  # click has ended the terminal's line, which shows ^C
        return _ended("interrupted; what was committed stays", INTERRUPTED)


def _ended(why: str, code: int) -> int:
    print(f"{PROGRAM}: {why}", file=sys.stderr)
    return code


# --------------------------------------------------------------------------------------------- what help is made from


class Commands(click.Group):
    """A group whose help shows its commands by section, in the order of SECTIONS."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections = SECTIONS if ctx.parent is None else {"Commands": tuple(self.commands)}
        for title, names in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(100)) for name in names])


def example(*lines: str) -> dict[str, str]:
    """What ends a command's help: calls of it, as they are typed after `athlete-assets`."""
    return {"epilog": "\b\nExamples:\n" + "\n".join(f"  {PROGRAM} {line}" for line in lines)}


class FilePath(click.Path):
    """A path; a ~ that the shell left alone (as zsh does in make run EXPORT=~/a.csv) is the home folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        try:
            return Path(value).expanduser()
        except RuntimeError:
            self.fail(f"{value}: there is no such user's home folder", param, ctx)


FILE = FilePath()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} is not a day such as 2024-05-15") from None


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 1):
        raise ValueError(f"{text} is not a whole number of at least 1")
    return int(text)


def _years(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 50:
        raise ValueError(f"{text} is not a number above 0 and at most 50")
    return value


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65_536):
        raise ValueError(f"{text} is not a port: a whole number from 1 to 65535")
    return int(text)


def _tables(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Completes the names of tables: for `rebuild` those that are derived, for `export` all and `summary`."""
    from click.shell_completion import CompletionItem

    from athlete_assets import tables

    silver = () if context.command.name == "rebuild" else tables.SILVER
    names = [".".join(table.path) for table in tables.ALL if table in silver or table not in tables.SILVER]
    return [CompletionItem(name) for name in sorted([*names, *(["summary"] if silver else [])]) if begun in name]


def _athlete(help: str, **more: Any) -> Callable[[Function], Function]:
    return click.option("--athlete", metavar="ID", help=help, **more)


def _json(shape: str) -> Callable[[Function], Function]:
    return click.option("--json", "as_json", is_flag=True, help=f"One JSON document: {shape}.")


def _of_silver(command: Function) -> Function:
    """The arguments of the commands that fill silver."""
    for option in (
        click.option("--seed", type=int, default=1, metavar="N", help="Seed of the simulation."),
        click.option("--years", type=_years, metavar="N", help="Simulate so many years (3)."),
        click.option("--athletes", type=_count, metavar="N", help="Simulate so many athletes (30)."),
        click.option("--drop-missing", is_flag=True, help="Drop what earlier exports had and this one has not."),
        _athlete("Whose it is, where the file does not say it."),
        click.option("--export", type=FILE, hidden=True),  # as FILE, under the name that it had first
        click.argument(
            "files",
            nargs=-1,
            type=FILE,
            metavar="[FILE]...",
            help="Strava, Garmin or Apple Health export, FIT, GPX or TCX files, runs as CSV or Parquet, races, "
            "sessions or a training plan as CSV; several in turn.",
        ),
    ):
        command = option(command)
    return command


def _settings() -> Settings:
    from athlete_assets.settings import Settings

    return Settings.load()


def _local_settings() -> Settings:
    """Raises SettingsError elsewhere: the command would fill, or tell of, tables that nothing else looks at."""
    settings = _settings()
    if settings.deployment != "local":
        raise SettingsError(
            f"setting ATHLETE_DEPLOYMENT={settings.deployment}: this command works on the tables in ATHLETE_HOME; on "
            "Databricks silver is your pipeline's, and tables are materialised by the sensors or from the Dagster UI"
        )
    return settings


def _writable(settings: Settings) -> Settings:
    """The settings, for a command that writes into a local home. Raises SettingsError where nobody may write there."""
    home = settings.home.resolve()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if settings.deployment == "local" and not os.access(there, os.W_OK | os.X_OK):
        raise SettingsError(
            f"setting ATHLETE_HOME={settings.home}: nothing can be written into {there}; give the right to, mount it "
            "for writing, or choose another home"
        )
    return settings


# ------------------------------------------------------------------------------------------------------- the commands


@click.group(
    PROGRAM,
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
    epilog="\b\nExit codes:\n" + "\n".join(f"  {code:<3}  {why}" for code, why in EXIT_CODES.items()),
)
@click.version_option(package_name=PROGRAM, message="%(prog)s %(version)s")
def cli() -> None:
    """From a runner's training log to features, race-time predictions and warnings.

    \b
      athlete-assets run                 simulated athletes, from raw data to predictions
      athlete-assets run export_123.zip  your own Strava or Garmin export, or recordings
      athlete-assets COMMAND --help      what a command takes, with examples
    """


@cli.command("import", **example("import export_123.zip", "import runs/ more.fit --athlete ann", "import --athletes 5"))
@_of_silver
def import_(**source: Any) -> int:
    """Fill silver only: files, or a simulated cohort."""
    from athlete_assets import commands

    settings = _writable(_local_settings())
    if not (source["files"] or source["export"] or source["athletes"] or source["years"]):
        raise InputError("say what to import: files, or a simulated cohort by --athletes or --years")
    commands.fill_silver(settings, **source)
    return DONE


@cli.command(**example("imports", "imports --json"))
@_json("a list of the rows of silver.imports")
def imports(as_json: bool) -> int:
    """List the imports: number, time, file, activities."""
    from athlete_assets import commands

    commands.list_imports(as_json, _writable(_local_settings()))
    return DONE


@cli.command(**example("undo"))
def undo() -> int:
    """Take the last import back."""
    from athlete_assets import commands

    commands.undo_import(_writable(_local_settings()))
    return DONE


@cli.command(
    **example(
        "athlete",
        "athlete set max-hr=187 threshold-pace=4:25 from=2026-01-01",
        "athlete 4312866 set zones=reserve",
        "athlete unset max-hr",
        "athlete session 2026-05-01 load=85",
    )
)
@click.argument("words", nargs=-1, metavar="[ID] [set NAME=VALUE ... | unset NAME ... | session DAY ...] [from=DAY]")
def athlete(words: tuple[str, ...]) -> int:
    """Say what holds of an athlete and from when, or state it.

    ID may be left out where the home has one athlete. Without from= a statement holds for all days; with it no
    earlier day knows it.

    \b
    max-hr, resting-hr, threshold-hr     bpm
    threshold-pace                       minutes and seconds a km: 4:25
    ftp                                  W
    birth-year, sex                      1985; F or M
    zones                                max-hr, reserve, threshold-hr, or where zones 2 to 5 begin: 120,140,155,170
    load                                 pace or heart-rate: which comes first where both are known
    starting-fitness, starting-fatigue   of a log that begins in the middle of a career
    session DAY load= rpe= minutes=      what a single session was (also sport=, at=; load=none takes it back)
    """
    from athlete_assets import commands

    commands.tell_or_state(list(words), _writable(_local_settings()))
    return DONE


@cli.command(**example("run", "run export_123.zip", "run --athletes 5 --years 1"))
@_of_silver
def run(**source: Any) -> int:
    """Fill silver, materialise every asset, and print a summary.

    Without FILE the home's own activities are taken; an empty home gets a simulated cohort.
    """
    from athlete_assets import commands, runs

    settings = _writable(_local_settings())
    if source["files"] or source["export"] or source["athletes"] or source["years"] or commands.is_empty(settings):
        commands.fill_silver(settings, **source)
    settings = _local_settings()  # the home remembers what an import has learned: its zone, its first day
    code = runs.materialise_everything(settings)
    if code == DONE:
        commands.print_status(None, False, settings)
    return code


@cli.command(
    **example(
        "evaluate --runs runs.parquet --runs more.parquet",
        "evaluate --runs new.csv --train-runs old.csv --json figures.json",
        "evaluate --athletes 30 --years 3",
    )
)
@click.option(
    "--runs", type=FILE, multiple=True, metavar="FILE", help="A file that import takes: runs to predict; may be many."
)
@click.option(
    "--train-runs",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="Train on this one (default: other athletes of --runs).",
)
@click.option("--athletes", type=_count, metavar="N", help="Without --runs: simulate so many athletes (30).")
@click.option("--years", type=_years, metavar="N", help="Without --runs: simulate so many years (3).")
@click.option("--seed", type=int, default=1, metavar="N", help="Seed of the simulation.")
@click.option("--json", "out", type=FILE, metavar="OUT", help="Also write the figures here.")
def evaluate(**judged: Any) -> int:
    """Train and judge the models on files of runs, or on a simulated cohort, in a scratch home."""
    from athlete_assets import commands

    commands.judge_models(settings=_settings(), **judged)
    return DONE


@cli.command(**example("status", "status --athlete 4312866", "status --json"))
@_athlete("Fitness, form, room for load, bests, predictions, rejects of one.")
@_json(
    "home, athletes, activities (silver, accepted, rejected, waiting), reject_reasons, form (a row of "
    "gold.athlete_metrics_summary an athlete, with its newest gold.athlete_predictions in `predictions`); with "
    "--athlete: summary, load_room, predictions, reject_reasons"
)
def status(athlete: str | None, as_json: bool) -> int:
    """Print the summary of what is there, or all about one athlete."""
    from athlete_assets import commands

    commands.print_status(athlete, as_json, _local_settings())
    return DONE


@cli.command(**example("predictions", "predictions --athlete 4312866 --day 2026-05-15", "predictions --json"))
@_athlete("Needed where the home holds several athletes.")
@click.option("--day", type=_day, metavar="DAY", help="One day (yyyy-mm-dd), with the features it was predicted from.")
@_json("a list of the rows of gold.athlete_predictions, newest first, what was served and when in `served`")
def predictions(athlete: str | None, day: date | None, as_json: bool) -> int:
    """Say what was predicted for an athlete, by which version."""
    from athlete_assets import commands

    commands.print_predictions(athlete, day, as_json, _local_settings())
    return DONE


@cli.command(**example("report --open", "report --athlete 4312866"))
@_athlete("Tell of this athlete's page in place of the coach's.")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
def report(athlete: str | None, open_it: bool) -> int:
    """Write the HTML pages whose numbers changed, and say where they are."""
    from athlete_assets import commands

    return commands.write_report(_writable(_local_settings()), athlete, open_it)


@cli.command(**example("export summary --format json", "export gold.athlete_predictions --out predictions.csv"))
@click.argument("table", shell_complete=_tables, help="A table such as gold.athlete_projection, or `summary`.")
@click.option("--format", type=click.Choice(["csv", "json", "parquet"]), default="csv", help="Of what is written.")
@_athlete("The rows of one athlete.")
@click.option("--out", type=FILE, metavar="FILE", help="A file; without it the terminal.")
def export(table: str, format: Any, athlete: str | None, out: Path | None) -> int:
    """Write a table as CSV, JSON or Parquet."""
    from athlete_assets import commands

    commands.export_table(table, format, athlete, out, _local_settings())
    return DONE


@cli.command(**example("ui", "ui --port 3001"))
@click.option("--port", type=_port, default="3000", metavar="PORT", help="Of the webserver, on this machine alone.")
def ui(port: int) -> int:
    """Open the Dagster UI (webserver and daemon) on this home."""
    from athlete_assets import runs

    return runs.open_ui(_writable(_settings()), port)


@cli.command(**example("doctor", "doctor --json"))
@_json("`well`, and `looked_at`: a list of what, found and todo (empty where it is well)")
def doctor(as_json: bool) -> int:
    """Look at this machine and this home, and say what is to do."""
    from athlete_assets import doctor

    return doctor.doctor(_writable(_settings()), as_json)


@cli.command(**example("plan", "plan --json"))
@_json(
    "a list of name (a run's, sensor's or schedule's), why (sentences), runs (job, assets, first, last day or week) "
    "and due (when a schedule fires)"
)
def plan(as_json: bool) -> int:
    """Say what the sensors and schedules would run next, and why.

    An athlete's own plan of training is imported: athlete-assets import plan.csv
    """
    from athlete_assets import upcoming

    return upcoming.tell_what_is_next(_writable(_local_settings()), as_json)


@cli.command(**example("alerts --test"))
@click.option("--test", is_flag=True, required=True, help="Say that it is a test.")
def alerts(test: bool) -> int:
    """Send one message through each channel of alerts."""
    from athlete_assets import commands

    return commands.try_alerts(_settings())


@cli.command(**example("maintain"))
def maintain() -> int:
    """Compact tables; remove old versions, runs and models."""
    from athlete_assets import runs

    return runs.maintain(_writable(_local_settings()))


@cli.command(**example("rebuild feature_store.athlete_rolling_features"))
@click.argument("table", shell_complete=_tables, help="name or schema.name, such as gold.athlete_predictions")
def rebuild(table: str) -> int:
    """Make a derived table anew, with the columns of its present contract."""
    from athlete_assets import rebuild

    return rebuild.rebuild(table, _writable(_local_settings()))


@cli.command(**example("repair --dry-run", "repair"))
@click.option("--dry-run", is_flag=True, help="Say what is damaged, change nothing.")
def repair(dry_run: bool) -> int:
    """Mend tables whose files are damaged, and compute anew what was lost."""
    from athlete_assets import rebuild

    return rebuild.repair(_writable(_local_settings()), dry_run)


@cli.command(**example("rollback time_estimator"))
@click.argument("model", help="time_estimator, overtraining_detector ...: the name of its asset")
def rollback(model: str) -> int:
    """Let the champion before the present one serve again."""
    from athlete_assets import commands

    commands.roll_back(model, _writable(_settings()))
    return DONE


@cli.command(**example("forget --athlete 4312866", "forget --athlete 4312866 --retrain"))
@_athlete("The athlete's id, as silver has it.", required=True)
@click.option("--retrain", is_flag=True, help="Train the models anew, without the athlete.")
def forget(athlete: str, retrain: bool) -> int:
    """Take an athlete out of everything below ATHLETE_HOME, and prove it."""
    from athlete_assets import runs

    settings = _settings()
    if settings.deployment == "databricks":
        return runs.tell_forget_job(athlete)
    return runs.forget_athlete(athlete, retrain, _writable(settings))


@cli.group(cls=Commands)
def databricks() -> None:
    """Set a Databricks workspace up, and try everything that it needs."""


@databricks.command("init", **example("databricks init --dry-run", "databricks init"))
@click.option("--dry-run", is_flag=True, help="Print the SQL and the calls, change nothing.")
def databricks_init(dry_run: bool) -> int:
    """Make schemas, grants, staging volume, secret scope and cluster policy."""
    from athlete_assets.deployments.databricks import setup

    return setup.init(_settings(), dry_run=dry_run)


@databricks.command("check", **example("databricks check", "databricks check --run"))
@click.option("--run", is_flag=True, help="Also start the cluster and import the code there (costs).")
def databricks_check(run: bool) -> int:
    """Try every right and setting, one line each, and say what to do."""
    from athlete_assets.deployments.databricks import setup

    return setup.check(_settings(), run=run)


if __name__ == "__main__":
    sys.exit(main())
