"""Writes the pages that follow from the code: settings, tables, commands and formulas.

python docs/reference.py          writes them
python docs/reference.py --check  names the pages that the code has outgrown; a test does so, too
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import SecretStr

from athlete_assets import tables
from athlete_assets.cli import EXIT_CODES, PROGRAM, SECTIONS, cli
from athlete_assets.settings import PREFIX, Settings
from athlete_assets.tables import Table

FOLDER = Path(__file__).parent
WRITTEN = "Written from the code by `docs/reference.py`; a test compares the two.\n"


def settings() -> str:
    lines = [
        "# Settings\n",
        WRITTEN,
        "Each is a variable of the environment, or a line of `settings.env` in the home, which remembers what an\n"
        "import learned. The environment goes first; an unknown name is an error.",
    ]
    for heading, names in _groups():
        lines += [f"\n## {heading}\n", "| variable | default | |", "|---|---|---|"]
        for name in names:
            field = Settings.model_fields[name]
            choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
            says = f"{field.description}" + (f" ({', '.join(choices)})" if choices else "")
            lines.append(f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {_cell(says)} |")
    return "\n".join(lines) + "\n"


def _groups() -> list[tuple[str, list[str]]]:
    """The fields below each comment of `Settings` that heads some."""
    groups: list[tuple[str, list[str]]] = []
    for line in inspect.getsource(Settings).splitlines():
        if heading := re.match(r"    # (.+)", line):
            text = heading[1]
            groups.append((text[0].upper() + text[1:], []))
        elif (field := re.match(r"    (\w+): ", line)) and field[1] in Settings.model_fields:
            groups[-1][1].append(field[1])
    return [group for group in groups if group[1]]


def _default(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "(secret)"
    if value is None or value in ("", [], {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def contracts() -> str:
    lines = [
        "# Tables\n",
        WRITTEN,
        "Every column's type, unit, range and meaning. A day is a timestamp at midnight UTC.",
    ]
    for title, of_title in (
        ("Silver: what other pipelines or an import write", tables.SILVER),
        ("What the product writes", [table for table in tables.ALL if table not in tables.SILVER]),
    ):
        lines.append(f"\n## {title}")
        for table in of_title:
            lines += _contract(table)
    return "\n".join(lines) + "\n"


def _contract(table: Table) -> list[str]:
    keys = ", ".join(f"`{key}`" for key in table.keys) or "none"
    lines = [f"\n### {table.schema}.{table.name}\n", f"{table.comment}\n"]
    lines.append(f"Keys: {keys}. Written: {table.cadence.value}.\n")
    lines += ["| column | type | unit | range | null | |", "|---|---|---|---|---|---|"]
    for column in table.columns:
        span = "" if column.low is None and column.high is None else f"{_edge(column.low)} to {_edge(column.high)}"
        null = "may be missing" if not column.required else "yes" if column.nullable else "no"
        lines.append(f"| `{column.name}` | {column.type} | {column.unit} | {span} | {null} | {_cell(column.comment)} |")
    return lines


def _edge(value: float | None) -> str:
    return "…" if value is None else f"{value:g}"


def commands() -> str:
    lines = ["# Commands\n", WRITTEN, "`athlete-assets COMMAND --help` says the same.\n"]
    lines += ["| exit code | |", "|---|---|", *(f"| {code} | {_cell(why)} |" for code, why in EXIT_CODES.items())]
    lines.append("\n" + COMPLETION.strip())
    for title, names in SECTIONS.items():
        lines.append(f"\n## {title}")
        for name in names:
            for called, command in _leaves(name, cli.commands[name]):
                lines += _command(called, command)
    return "\n".join(lines) + "\n"


COMPLETION = """
With `--json` stdout holds one JSON document and nothing else. Rows have the columns of their [table](tables.md), days
and times are in ISO 8601, what is unknown is null, and what is wrong is said on stderr.

On a terminal long work has a bar, and verdicts have a colour unless `NO_COLOR` is set; pipes and logs get plain lines.

Completion of commands, options, files and tables by the shell:

| shell | once |
|---|---|
| bash | `echo 'eval "$(_ATHLETE_ASSETS_COMPLETE=bash_source athlete-assets)"' >> ~/.bashrc` |
| zsh | `echo 'eval "$(_ATHLETE_ASSETS_COMPLETE=zsh_source athlete-assets)"' >> ~/.zshrc` |
| fish | `_ATHLETE_ASSETS_COMPLETE=fish_source athlete-assets > ~/.config/fish/completions/athlete-assets.fish` |

The command must be on the `PATH`, as in an activated `.venv`.
"""


def _leaves(name: str, command: click.Command) -> list[tuple[str, click.Command]]:
    """The commands that do something, with the words that call them."""
    if isinstance(command, click.Group):
        return [each for word, below in command.commands.items() for each in _leaves(f"{name} {word}", below)]
    return [(name, command)]


def _command(name: str, command: click.Command) -> list[str]:
    about, _, more = inspect.cleandoc(command.help or "").partition("\n\n")
    lines = [f"\n### {name}\n\n{about}"]
    for paragraph in filter(None, more.split("\n\n")):
        listed = paragraph.startswith("\b\n")
        lines.append("\n" + (f"```\n{paragraph[2:]}\n```" if listed else paragraph))
    parameters = [each for each in command.params if not getattr(each, "hidden", False)]
    if parameters:
        lines += ["", "| argument | default | |", "|---|---|---|"]
    for each in parameters:
        given = each.to_info_dict()["default"]
        default = "" if given in (None, False) else f"`{given}`"
        lines.append(f"| `{_cell(_named(each, command))}` | {default} | {_cell(each.help or '')} |")
    examples = str(command.epilog).split("Examples:\n")[1]
    return [*lines, "", "```", *(line.strip() for line in examples.splitlines()), "```"]


def _named(parameter: click.Parameter, command: click.Command) -> str:
    """How an argument is given."""
    value = parameter.make_metavar(click.Context(command, info_name=PROGRAM))
    if isinstance(parameter, click.Option):
        return " ".join([", ".join(parameter.opts), *([] if parameter.is_flag else [value])])
    return value


def sport_science() -> str:
    lines = [
        "# Formulas\n",
        WRITTEN,
        "The functions of `athlete_assets/formulas/`, with their sources as the code has them.",
    ]
    for file in sorted((FOLDER.parent / "athlete_assets" / "formulas").glob("[a-z]*.py")):
        tree = ast.parse(file.read_text())
        lines.append(f"\n## {file.stem}\n\n{ast.get_docstring(tree)}")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and ast.get_docstring(node):
                names = ", ".join(argument.arg for argument in node.args.args)
                lines.append(f"\n### {node.name}({names})\n\n{ast.get_docstring(node)}")
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings, "tables.md": contracts, "commands.md": commands, "formulas.md": sport_science}


def outgrown() -> list[str]:
    """The pages that are not what the code says now."""
    return [
        name for name, page in PAGES.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text() != page()
    ]


def main() -> int:
    if "--check" not in sys.argv:
        for name, page in PAGES.items():
            (FOLDER / name).write_text(page())
    found = outgrown()
    print(f"python docs/reference.py writes anew: {', '.join(found)}" if found else "the pages are what the code says")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
