"""The JVM of a cluster that stays: run as a script in a process of its own, until its standard input ends.

As on a real cluster, each task has a fresh Python process, and all of them one Spark: its JVM is warm, its metastore is
there, and what one task left in it the next one finds. Writes where it can be reached to the file in its argument.
"""

import json
import os
import sys


def main():
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    with open(sys.argv[1]) as handle:
        spec = json.load(handle)
    conf = SparkConf()
    for key, value in spec["options"].items():
        conf.set(key, value)
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    gateway = session.sparkContext._gateway
    reached = {"port": gateway.java_parameters.port, "secret": gateway.java_parameters.auth_token}
    with open(spec["reached"] + ".partial", "w") as handle:
        json.dump(reached, handle)
    os.replace(spec["reached"] + ".partial", spec["reached"])
    sys.stdin.read()


if __name__ == "__main__":
    main()
