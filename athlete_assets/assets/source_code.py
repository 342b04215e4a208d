"""What code computes an asset: its version, and links to it for the UI.

The version follows all that decides the rows: the step's own lines, the modules of this package that it computes with
and those that they import, the columns of the contract, and the values of the settings that those modules read. Blank
lines and lines of comment do not count; docstrings and trailing comments do, because telling them apart (`ast`) would
take half a second of each load of the code location, and this takes some hundredths.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import dagster as dg

import athlete_assets
from athlete_assets.settings import Settings

PACKAGE = athlete_assets.__name__
ROOT = Path(athlete_assets.__file__).parent
NOT_COMPUTING = (
    "assets",
    "partitions",
    "errors",
    "settings",  # the values that are read count, not the file
    "tables",  # the table's own contract counts, not everybody's
    "monitoring.checks",
    "monitoring.reconciliation",
    "monitoring.anomalies",
    "monitoring.drift",
    "monitoring.charts",
)
"""What decides no row of a table. One that is forgotten here makes versions change more often than they need."""
OF_THE_PLACE = (
    "home",
    "deployment",
    "engine",
    "catalog",
    "as_of",
    "memory_gb",
    "chunk_athlete_days",
    "reports",
    "reports_url",
)
"""Settings that say where and in what pieces a table is computed; databricks_* are such, too."""

_IMPORT = re.compile(rf"^[ \t]*from ({PACKAGE}[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
_SETTING = re.compile(r"\bsettings\.(\w+)")
_NO_CODE = re.compile(r"^[ \t]*(#.*)?\n", re.MULTILINE)


def code_version(compute: Callable[..., Any], settings: Settings, columns: dg.TableSchema | None = None) -> str:
    """The version of what `compute` writes: 12 hexadecimal digits. columns: the contract of the written table."""
    step, modules = _step_and_modules(compute)
    texts = [step, *(_source(name) for name in modules)]
    read = set(_SETTING.findall(step)).union(*map(_settings_read, modules))
    values = {
        name: str(getattr(settings, name))
        for name in sorted(read & Settings.model_fields.keys())
        if name not in OF_THE_PLACE and not name.startswith("databricks_")
    }
    contract = (
        [(column.name, column.type, column.constraints.nullable) for column in columns.columns] if columns else []
    )
    return hashlib.sha256(repr((texts, values, contract)).encode()).hexdigest()[:12]


def code_references(compute: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    """Asset metadata with which the UI links to the step and to the modules that it computes with.

    Links are files of this machine, or below ATHLETE_SOURCE_URL where that is set: the folder of this package in the
    repository's web view.
    """
    roots = sorted(name for name in _roots(compute) if not _excluded(name))
    code = compute.__code__
    places = [(Path(code.co_filename), code.co_firstlineno), *((_file(name), 1) for name in roots)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        sources: list[Any] = [_reference(path.resolve(), line, settings) for path, line in places]
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=sources)}


def _reference(path: Path, line: int, settings: Settings) -> Any:
    inside = path.relative_to(ROOT.resolve()) if path.is_relative_to(ROOT.resolve()) else None
    label = f"{PACKAGE}/{inside}" if inside else path.name
    if settings.source_url and inside:
        return dg.UrlCodeReference(url=f"{settings.source_url.rstrip('/')}/{inside.as_posix()}#L{line}", label=label)
    return dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=label)


# ------------------------------------------------------------------------------------------------------ what is used


def _step_and_modules(compute: Callable[..., Any]) -> tuple[str, list[str]]:
    """The source of the step with the helpers of its own file, and all modules that it computes with, in order."""
    todo, seen = [name for name in _roots(compute) if not _excluded(name)], set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [found for found in _imported(name) if not _excluded(found)]
    return "\n".join(_lines(function) for function in _functions(compute)), sorted(seen)


def _functions(compute: Callable[..., Any]) -> list[FunctionType]:
    """The function, and those of its own file that it calls, directly or not, in the order of the file."""
    found: dict[str, FunctionType] = {}
    todo = [compute]
    while todo:
        function = todo.pop()
        if isinstance(function, FunctionType) and function.__qualname__ not in found:
            found[function.__qualname__] = function
            todo += [value for value in _used(function) if getattr(value, "__module__", None) == compute.__module__]
    return sorted(found.values(), key=lambda function: function.__code__.co_firstlineno)


def _roots(compute: Callable[..., Any]) -> set[str]:
    """The modules of this package that the function and its helpers name, without the package's name."""
    found = {name for function in _functions(compute) for value in _used(function) for name in _modules_of(value)}
    return {name.removeprefix(f"{PACKAGE}.") for name in found if name.startswith(f"{PACKAGE}.")}


def _used(function: FunctionType) -> Iterator[Any]:
    """The values of the global and enclosing names in a function's code."""
    names = set(_names(function.__code__))
    yield from (function.__globals__[name] for name in names if name in function.__globals__)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name of the enclosing function that has no value yet
            continue


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _modules_of(value: Any) -> Iterator[str]:
    """Where a value was defined: a module, a function or class, or an object of this package with functions in it."""
    if isinstance(value, ModuleType):
        yield value.__name__
    elif isinstance(value, FunctionType | type):
        yield value.__module__
    elif dataclasses.is_dataclass(value) and type(value).__module__.startswith(PACKAGE):
        yield type(value).__module__
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if isinstance(inner, FunctionType | type):
                yield inner.__module__


def _excluded(name: str) -> bool:
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in NOT_COMPUTING)


# ------------------------------------------------------------------------------------------------------------ source


@cache
def _imported(name: str) -> frozenset[str]:
    """The modules of this package that a module imports, wherever in it the import stands."""
    found = set()
    for module, listed in _IMPORT.findall(_source(name)):
        for part in re.findall(r"\w+", re.sub(r"#.*|\bas \w+", "", listed)):
            inner = f"{module}.{part}".removeprefix(f"{PACKAGE}.")
            found.add(inner if _file(inner).is_file() else module.removeprefix(f"{PACKAGE}."))
    return frozenset(one for one in found if _file(one).is_file())


@cache
def _source(name: str) -> str:
    """A module's text without blank lines and lines of comment."""
    return _NO_CODE.sub("", _file(name).read_text())


@cache
def _settings_read(name: str) -> frozenset[str]:
    return frozenset(_SETTING.findall(_source(name)))


@cache
def _file(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _lines(function: FunctionType) -> str:
    """The lines of a function, from its decorators on."""
    code = function.__code__
    last = max(_last_line(code), code.co_firstlineno)
    text = "\n".join(_file_lines(code.co_filename)[code.co_firstlineno - 1 : last]) + "\n"
    return _NO_CODE.sub("", text)


def _last_line(code: CodeType) -> int:
    inner = [_last_line(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return max([line for _, _, line in code.co_lines() if line is not None] + inner)


@cache
def _file_lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
