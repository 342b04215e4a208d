"""Writes the pages that follow from the code: settings, tables, commands and formulas.

python docs/reference.py          writes them
python docs/reference.py --check  names the pages that the code has outgrown; a test does so, too
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr

from athlete_assets import tables
from athlete_assets.cli import parser
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
    lines = ["# Commands\n", WRITTEN, "`athlete-assets COMMAND --help` says the same."]
    lines.append(_cell(str(parser().description).partition("\n\n")[2]))
    for name, about, command in _subcommands(parser()):
        lines.append(f"\n## {name}\n\n{about[:1].upper()}{about[1:]}.")
        arguments = [action for action in command._actions if action.dest != "help"]
        if arguments:
            lines += ["", "| argument | default | |", "|---|---|---|"]
        for action in arguments:
            given = " ".join(filter(None, [", ".join(action.option_strings), _value(action)]))
            default = "" if action.default in (None, False, argparse.SUPPRESS, []) else f"`{action.default}`"
            lines.append(f"| `{_cell(given)}` | {default} | {_cell(action.help or '')} |")
    return "\n".join(lines) + "\n"


def _value(action: argparse.Action) -> str:
    """How the value of an argument is called; empty for a switch."""
    if action.nargs == 0:
        return ""
    return str(action.metavar or (action.dest.upper() if action.option_strings else action.dest))


def _subcommands(of: argparse.ArgumentParser, before: str = "") -> list[tuple[str, str, argparse.ArgumentParser]]:
    """Name, sentence and parser of each command that does something."""
    found = []
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                deeper = _subcommands(command, f"{before}{name} ")
                found += deeper or [(f"{before}{name}", about[name], command)]
    return found


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
