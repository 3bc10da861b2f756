"""One lazy Spark session for the whole run: tests that need none never start a JVM."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import nights
import pytest
from pyspark.sql import SparkSession

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = (
        SparkSession.builder.master("local[2]")
        .appName("tests")
        .config("spark.ui.enabled", "false")  # no port, no thread pool for pages nobody opens
        .config("spark.ui.showConsoleProgress", "false")
        # a JVM that dies says why where pytest shows it
        .config("spark.driver.extraJavaOptions", f"{nights.SHORT_JOBS} -XX:+ErrorFileToStderr")
        .config("spark.python.sql.dataFrameDebugging.enabled", "false")  # a column then takes half the calls
        .config("spark.sql.shuffle.partitions", "3")  # tiny frames; 3 so that partitioning faults show
        .config("spark.sql.unionOutputPartitioning", "false")  # as in cli.session
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
