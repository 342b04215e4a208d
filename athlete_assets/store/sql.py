"""Names and texts as SQL: the one place where they are quoted.

Two dialects meet here. Spark SQL (Databricks, Apache Spark, Sail) reads a backslash in a literal as an escape and
takes two literals side by side ('a''b') for their concatenation, so a doubled quote silently loses it. delta-rs reads
standard SQL: a backslash stands for itself, and a quote is doubled. Either literal in the other dialect finds other
rows, or none.
"""

from __future__ import annotations


def literal(text: str) -> str:
    """The text as a string literal of Spark SQL.

    `${` is broken up: Apache Spark replaces ${name} by a setting or a variable of its environment wherever it stands
    in a statement, in a literal too.
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "$\\{") + "'"


def delta_literal(text: str) -> str:
    """The text as a string literal in a predicate or a query of delta-rs."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name of one or several levels (`catalog.schema.table`), each in backticks. No level holds a dot."""
    return ".".join(map(identifier, name.split(".")))


def identifier(name: str) -> str:
    """A name of one level in backticks, whatever it holds but `${`: Spark would replace it, and knows no escape there.

    Raises ValueError for such a name.
    """
    if "${" in name:
        raise ValueError(f"{name!r} cannot be a name in SQL: Spark replaces ${{...}}")
    return "`" + name.replace("`", "``") + "`"
