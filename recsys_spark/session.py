"""The Spark session of a job or a night, and settings of it for a while."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_spark.errors import SettingsError
from recsys_spark.failures import one_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys_spark.config import Config

# What the results depend on; everything else about Spark is the user's to set.
_REQUIRED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",  # few files of a useful size
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.unionOutputPartitioning": "false",  # else frames of one partition each are one task, one after the other
    "spark.scheduler.mode": "FAIR",  # jobs of two threads share the cores, small steps do not wait for large ones
}

_JVM_OPTIONS = "spark.driver.extraJavaOptions"
# A JVM warns on standard output, which is for the night's JSON; what the settings add comes after and wins.
_JVM_LOG = "-XX:+DisplayVMOutputToStderr -Xlog:disable -Xlog:all=warning:stderr"


def session(config: Config, name: str) -> SparkSession:
    """The running Spark session, or a new one as the settings say.

    Raises:
        SettingsError: no Java that Spark can start, or nothing where `spark.py_files` says.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    from recsys_spark.config import CONF

    for path in config.spark.py_files:
        if "://" not in path and not Path(path).is_file():
            raise SettingsError(
                f"spark.py_files {path}: no such file; `make package` makes dist/recsys_spark.zip"
            )
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_CONF_DIR", str(CONF))
    builder = SparkSession.builder.appName(f"recsys-spark {name}")
    submitted = "SPARK_ENV_LOADED" in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        builder = builder.master(config.spark.master).config(
            "spark.driver.memory", config.spark.driver_memory
        )
        if config.spark.master.startswith("local"):
            builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config(
                "spark.driver.host", "127.0.0.1"
            )
    builder = builder.config("spark.sql.shuffle.partitions", config.spark.shuffle_partitions)
    conf = dict(config.spark.conf)
    if not submitted:
        conf[_JVM_OPTIONS] = f"{_JVM_LOG} {conf.get(_JVM_OPTIONS, '')}".strip()
    for key, value in {**conf, **_REQUIRED}.items():
        builder = builder.config(key, value)
    try:
        started = builder.getOrCreate()
    except PySparkException as error:
        raise SettingsError(
            "Spark did not start: it needs Java 17 or newer; install one (Debian: openjdk-17-jre-headless) or set "
            f"JAVA_HOME, or run `make setup`, which brings one for this project ({one_line(error)})"
        ) from error
    # Not by spark.submit.pyFiles: spark-submit would put the archive on the driver's path too, before this code.
    sent = {name.rpartition("/")[2] for name in started.sparkContext.listFiles}
    for path in config.spark.py_files:
        if path.rpartition("/")[2] not in sent:
            started.sparkContext.addPyFile(path)
    return started


@contextmanager
def spark_settings(spark: SparkSession, settings: Mapping[str, str | int | bool]) -> Iterator[None]:
    """Settings of the session while a block runs; each must have a value before."""
    before = {key: str(spark.conf.get(key)) for key in settings}
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, old in before.items():
            spark.conf.set(key, old)
