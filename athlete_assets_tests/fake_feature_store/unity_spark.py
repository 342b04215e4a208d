"""What Databricks' Spark has and Apache Spark lacks: a catalog with three-level names, keys, tags, and rights.

`UnityCatalog(spark, root).install()` lets a real Apache Spark session (classic or Connect) with Delta take the
statements that are meant for Unity Catalog. Tables are real Delta tables below `<root>/<catalog>/<schema>/<table>`;
keys and tags become table properties, which is where the HTTP endpoints beside this file find them. A fresh process
over the same root sees the tables of earlier ones. This file imports nothing but pyspark, so that a process without
this project can run it.
"""

import re
from pathlib import Path

from pyspark.errors import AnalysisException

PRIMARY_KEYS_PROPERTY = "feature_store.primary_keys"
TIMESTAMP_KEY_PROPERTY = "feature_store.timestamp_key"
TAG_PROPERTY = "feature_store.tag."

CONSTRAINT = re.compile(r",\s*CONSTRAINT\s+`[^`]+`\s+PRIMARY\s+KEY\s*\(([^)]*)\)", re.IGNORECASE)
CREATE_TABLE = re.compile(r"\s*CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\S+)", re.IGNORECASE)
SET_TAGS = re.compile(r"\s*ALTER\s+TABLE\s+(\S+)\s+SET\s+TAGS\s*\((.*)\)\s*\Z", re.IGNORECASE | re.DOTALL)
TAG = re.compile(r"'((?:[^'\\]|\\.)*)'\s*=\s*'((?:[^'\\]|\\.)*)'")
DESCRIBE_CATALOG = re.compile(r"\s*DESCRIBE\s+CATALOG\s+`?([^`\s]+)`?", re.IGNORECASE)


class UnityCatalog:
    """One catalog of one session.

    `statements` records what was asked. `denied` holds names (schema.table) that this principal may not touch.
    `faults` holds (pattern, message) pairs: the next statement that the pattern finds fails once with the message;
    the pattern "overwrite" finds an overwrite by a frame, which is no statement.
    """

    def __init__(self, spark, root, catalog="uc_athlete_data"):
        self.spark, self.root, self.catalog = spark, Path(root), catalog
        self.statements, self.denied, self.faults = [], set(), []
        self._originals = []

    # ---------------------------------------------------------------------------------------------- installation

    def install(self):
        session, reader, writer = type(self.spark), type(self.spark.read), type(self.spark.range(1).write)
        catalog = type(self.spark.catalog)
        self._patch(session, "sql", self._sql)
        self._patch(session, "table", self._named)
        self._patch(type(self.spark.range(1)), "writeTo", self._named)
        self._patch(type(self.spark.range(1).writeTo("nowhere")), "overwrite", self._overwritten)
        self._patch(reader, "table", self._named)
        self._patch(writer, "saveAsTable", self._named)
        self._patch(catalog, "tableExists", self._named)
        for schema in sorted((self.root / self.catalog).glob("*")):
            self.create_schema(schema.name)
        for folder in sorted((self.root / self.catalog).glob("*/*/_delta_log")):
            path = folder.parent
            self.spark.sql(
                f"CREATE TABLE IF NOT EXISTS spark_catalog.{path.parent.name}.{path.name} USING DELTA LOCATION '{path}'"
            )
        return self

    def uninstall(self):
        for owner, name, original in reversed(self._originals):
            setattr(owner, name, original)
        self._originals.clear()

    def create_schema(self, schema):
        location = self.root / self.catalog / schema
        location.mkdir(parents=True, exist_ok=True)
        self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS spark_catalog.{schema} LOCATION '{location}'")

    def path(self, name):
        """Where a table of this catalog lies; None if there is no such table."""
        catalog, schema, table = name.split(".")
        path = self.root / catalog / schema / table
        return path if (path / "_delta_log").is_dir() else None

    def _patch(self, owner, name, replacement):
        original = getattr(owner, name)
        self._originals.append((owner, name, original))

        def patched(this, *arguments, **options):
            return replacement(original, this, *arguments, **options)

        setattr(owner, name, patched)

    # ------------------------------------------------------------------------------------------------ statements

    def _named(self, original, this, name, *arguments, **options):
        self._refuse(name)
        return original(this, self._local(name), *arguments, **options)

    def _overwritten(self, original, this, *arguments):
        self._fail_once("overwrite")
        return original(this, *arguments)

    def _sql(self, original, this, text, *arguments, **options):
        if this is not self.spark:
            return original(this, text, *arguments, **options)
        self.statements.append(text)
        self._refuse(text)
        described = DESCRIBE_CATALOG.match(text)
        if described:
            if described.group(1) != self.catalog:
                raise AnalysisException(f"[NO_SUCH_CATALOG_EXCEPTION] Catalog '{described.group(1)}' was not found.")
            return original(this, f"SELECT 'Catalog Name' AS info_name, '{self.catalog}' AS info_value")
        if re.fullmatch(r"\s*SELECT\s+CURRENT_CATALOG\(\)\s*", text, re.IGNORECASE):
            return original(this, f"SELECT '{self.catalog}'")
        tags = SET_TAGS.match(text)
        if tags:
            properties = {f"{TAG_PROPERTY}{key}": value for key, value in TAG.findall(tags.group(2))}
            return self._set_properties(original, this, tags.group(1), properties)
        created = CREATE_TABLE.match(text)
        constraint = CONSTRAINT.search(text)
        if not (created and constraint):
            return original(this, self._local(text), *arguments, **options)
        name = created.group(1)
        if self.spark.catalog.tableExists(name):
            return original(this, "SELECT 'there already'")
        result = original(this, self._local(text[: constraint.start()] + text[constraint.end() :]))
        result.collect()
        keys = [key.strip() for key in constraint.group(1).split(",")]
        series = [key for key in keys if key.upper().endswith(" TIMESERIES")]
        plain = [re.sub(r"\s+TIMESERIES\Z", "", key, flags=re.IGNORECASE).strip("`") for key in keys]
        properties = {PRIMARY_KEYS_PROPERTY: ",".join(plain)}
        if series:
            properties[TIMESTAMP_KEY_PROPERTY] = series[0].split()[0].strip("`")
        return self._set_properties(original, this, name, properties)

    def _set_properties(self, original, this, name, properties):
        pairs = ", ".join(f"'{key}' = '{value}'" for key, value in properties.items())
        return original(this, f"ALTER TABLE {self._local(name)} SET TBLPROPERTIES ({pairs})")

    def _local(self, text):
        return re.sub(rf"`?\b{re.escape(self.catalog)}\b`?\.", "spark_catalog.", text)

    def _refuse(self, text):
        for name in self.denied:
            if name in text.replace("`", ""):
                raise AnalysisException(
                    f"[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have permission on '{name}'. "
                    "SQLSTATE: 42501"
                )
        self._fail_once(text)

    def _fail_once(self, text):
        for number, (pattern, message) in enumerate(self.faults):
            if re.search(pattern, text):
                del self.faults[number]
                raise AnalysisException(message)
