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
import sys
import types
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
    def __init__(self, spec):
        self.secrets = Secrets(spec["host"], spec["token"])
        self.notebook = self
        self.entry_point = EntryPoint(spec["nfs"])


class EntryPoint:
    """What mlflow asks of the driver through dbutils (mlflow/utils/databricks_utils.py)."""

    def __init__(self, nfs):
        self.nfs = nfs

    def getDbutils(self):
        return self

    def notebook(self):
        return self

    def getUserNFSTempDir(self):
        """A folder that all nodes share: a model lies there for Spark's workers."""
        return self.nfs

    getReplNFSTempDir = getUserNFSTempDir


def install_dbruntime(spec, names):
    """The runtime's own package, by which the clients know where they run and who they are.

    The SDK takes its credentials from `sdk_credential_provider` (databricks/sdk/runtime/__init__.py), mlflow and the
    feature store theirs from the context, once there is a shell with dbutils in it.
    """
    context = types.SimpleNamespace(
        apiUrl=spec["host"],
        apiToken=spec["token"],
        sslTrustAll=False,
        workspaceUrl=None,
        browserHostName=None,
        workspaceId=spec["workspace_id"],
        isInCluster=True,
        clusterId=spec["cluster_id"],
        isInNotebook=False,
        notebookId=None,
        notebookPath=None,
        aclPathOfAclRoot=None,
        isInJob=True,
        jobId=spec["job_id"],
        idInJob=spec["run_id"],
        jobType="NORMAL",
        jobTaskType="python",
    )

    class UserNamespaceInitializer:
        @classmethod
        def getOrCreate(cls):
            return cls()

        def get_namespace_globals(self):
            return names

    def runtime_auth():
        return spec["host"], lambda: {"Authorization": f"Bearer {spec['token']}"}

    contents = {
        "dbruntime": {"UserNamespaceInitializer": UserNamespaceInitializer, "__path__": []},
        "dbruntime.databricks_repl_context": {"get_context": lambda: context},
        "dbruntime.sdk_credential_provider": {"init_runtime_native_auth": runtime_auth},
    }
    for name, attributes in contents.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(attributes)


def give_shell(names):
    """The shell that runs a task's file on a real driver; importing it takes a while."""
    import IPython

    shell = types.SimpleNamespace(ns_table={"user_global": names})
    IPython.get_ipython = lambda: shell


def cluster_session(spec):
    """The cluster's session, which `SparkSession.builder.getOrCreate()` then returns, with the metastore's tables."""
    from pyspark.sql import SparkSession

    if "jvm" in spec["spark"]:
        spark = attached(spec["spark"]["jvm"])
    else:
        builder = SparkSession.builder.appName("cluster")
        for key, value in spec["spark"]["options"].items():
            builder = builder.config(key, value)
        spark = builder.getOrCreate()
    source = importlib.util.spec_from_file_location("unity_spark", spec["spark"]["unity_catalog"])
    unity_spark = importlib.util.module_from_spec(source)
    source.loader.exec_module(unity_spark)
    unity_spark.UnityCatalog(spark, spec["spark"]["tables"]).install()
    return spark


def attached(jvm):
    """A session of its own in the Spark of a cluster that is running: shared tables, own views and settings."""
    os.environ["PYSPARK_GATEWAY_PORT"], os.environ["PYSPARK_GATEWAY_SECRET"] = str(jvm["port"]), jvm["secret"]
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    gateway = launch_gateway()
    sessions = SparkSession._get_j_spark_session_class(gateway.jvm)
    session = sessions.getDefaultSession().get().newSession()
    java_context = gateway.jvm.JavaSparkContext.fromSparkContext(session.sparkContext())
    context = SparkContext(gateway=gateway, jsc=java_context, conf=SparkConf(_jconf=java_context.getConf()))
    sessions.setActiveSession(session)
    return SparkSession(context, jsparkSession=session)


def main():
    with open(sys.argv[1]) as handle:
        spec = json.load(handle)
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    sys.path += spec["site_packages"]
    for package in spec["hidden"]:
        assert importlib.util.find_spec(package) is None, f"the host's {package} can be imported on the cluster"
    mount(spec["mounts"])
    names = {"__name__": "__main__", "__file__": spec["python_file"], "dbutils": DbUtils(spec)}
    install_dbruntime(spec, names)
    if spec["spark"]:
        give_shell(names)
        names["spark"] = cluster_session(spec)
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
