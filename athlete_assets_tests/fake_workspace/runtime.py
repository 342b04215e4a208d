"""What a cluster's driver does around a `spark_python_task`: run as a script in a fresh process, never imported.

It starts without the host's site configuration, so that neither the host's checkout nor an editable installation can
be imported: the only code of this project that exists here is what was uploaded. `/Volumes` and `/dbfs` are the
workspace's folders; as on a volume's FUSE mount, files there are written whole, not appended to.
"""

import base64
import builtins
import importlib.util
import io
import json
import os
import re
import sys
import time
import urllib.request


def mount(mounts):
    """Maps the mount points onto the workspace's folders for everything that Python opens, lists, moves or removes."""

    def real(path):
        text = os.fspath(path) if isinstance(path, (str, bytes, os.PathLike)) else path
        if not isinstance(text, str):
            return path
        for point, folder in mounts.items():
            if text == point or text.startswith(point + "/"):
                return folder + text[len(point) :]
        return path

    real_open = builtins.open

    def mapped_open(file, mode="r", *arguments, **options):
        target = real(file)
        if target is not file and ("a" in mode or "+" in mode):
            raise OSError(95, "Operation not supported on a volume", str(file))
        return real_open(target, mode, *arguments, **options)

    builtins.open = io.open = mapped_open

    def mapped(function):
        def call(*arguments, **options):
            return function(*[real(argument) for argument in arguments], **options)

        return call

    for name in ("stat", "lstat", "listdir", "scandir", "mkdir", "remove", "unlink", "rename", "replace", "rmdir"):
        setattr(os, name, mapped(getattr(os, name)))


class Secrets:
    def __init__(self, host, token):
        self.host, self.token = host, token

    def get(self, scope, key):
        request = urllib.request.Request(
            f"{self.host}/api/2.0/secrets/get?scope={scope}&key={key}",
            headers={"Authorization": f"Bearer {self.token}"},
        )
        with urllib.request.urlopen(request) as answer:
            return base64.b64decode(json.load(answer)["value"]).decode()


class DbUtils:
    def __init__(self, host, token):
        self.secrets = Secrets(host, token)


def cluster_session(options):
    """The cluster's session, which `SparkSession.builder.getOrCreate()` then returns, with the metastore's tables."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("cluster")
    for key, value in options.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    warehouse = options["spark.sql.warehouse.dir"]
    for schema in sorted(os.listdir(warehouse)):
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS `{schema}` LOCATION '{warehouse}/{schema}'")
        for table in sorted(os.listdir(f"{warehouse}/{schema}")):
            if os.path.isdir(f"{warehouse}/{schema}/{table}/_delta_log"):
                spark.sql(f"CREATE TABLE `{schema}`.`{table}` USING DELTA LOCATION '{warehouse}/{schema}/{table}'")
    understand_unity_catalog(SparkSession, os.path.dirname(warehouse))
    return spark


def understand_unity_catalog(session_class, folder):
    """What Unity Catalog's SQL has beyond Spark's: key constraints and tags, written down beside the tables."""
    plain = session_class.sql

    def sql(self, query, *arguments, **options):
        key = re.search(r",\s*CONSTRAINT `[^`]+` PRIMARY KEY \(([^)]*)\)", query)
        tags = re.match(r"ALTER TABLE (\S+) SET TAGS \((.*)\)\s*\Z", query, re.DOTALL)
        if key or tags:
            with open(f"{folder}/unity_catalog.{time.time_ns()}", "w") as handle:
                handle.write(query)
        if tags:
            return plain(self, "SELECT 1 WHERE false")
        if key:
            query = query[: key.start()] + query[key.end() :]
        return plain(self, query, *arguments, **options)

    session_class.sql = sql


def main():
    with open(sys.argv[1]) as handle:
        spec = json.load(handle)
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    sys.path += spec["site_packages"]
    for package in spec["hidden"]:
        assert importlib.util.find_spec(package) is None, f"the host's {package} can be imported on the cluster"
    mount(spec["mounts"])
    names = {"__name__": "__main__", "__file__": spec["python_file"], "dbutils": DbUtils(spec["host"], spec["token"])}
    if spec["spark"]:
        names["spark"] = cluster_session(spec["spark"])
        if not spec["standard_access"]:
            names["sc"] = names["spark"].sparkContext
    elif not spec["standard_access"]:
        names["sc"] = None
    sys.argv = [spec["python_file"], *spec["parameters"]]
    with open(spec["python_file"]) as handle:
        code = compile(handle.read(), spec["python_file"], "exec")
    exec(code, names)


if __name__ == "__main__":
    main()
