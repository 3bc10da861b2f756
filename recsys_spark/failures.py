"""What an exception means to the person on call: an error of this project's, whatever wrapped it."""

from __future__ import annotations

import re

from recsys_spark import errors
from recsys_spark.errors import BadDataError, MissingInputError, RecsysError, SettingsError


def as_known(error: BaseException) -> RecsysError | None:
    """The RecsysError that an exception is, or that a Spark failure carries from a worker."""
    if isinstance(error, RecsysError):
        return error
    text = str(error)
    raised = re.search(r"recsys_spark\.errors\.(\w+): ([^\n]+)", text)
    if raised:
        kind = getattr(errors, raised[1], None)
        if isinstance(kind, type) and issubclass(kind, RecsysError):
            return kind(raised[2].strip())
    said = re.search(r"\[USER_RAISED_EXCEPTION\] ([^\n]+)", text)
    if said:
        return BadDataError(said[1].strip())
    lacking = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", text)
    if lacking and not isinstance(error, ModuleNotFoundError):
        if lacking[1].partition(".")[0] == "recsys_spark":
            return SettingsError(
                "the Python workers lack this project's code: run `make package` and name dist/recsys_spark.zip "
                "in spark.py_files, or install the wheel where they run"
            )
        return SettingsError(
            f"the Python workers lack the package {lacking[1]}: start the job with PYSPARK_PYTHON set to an "
            "environment that has this project's packages, or send them: `make workers`, and spark.archives as the "
            "README shows"
        )
    gone = re.search(
        r"(?:FileNotFoundException|PATH_NOT_FOUND)[^\n]*?((?:file|s3a?|hdfs|abfss?):[^\s\"']+)", text
    )
    if gone:
        return MissingInputError(
            f"{gone[1]}: Spark found no such file; it was removed while the job was reading"
        )
    damaged = re.search(
        r"(?:FAILED_READ_FILE|CANNOT_READ_FILE)[^\n]*?((?:file|s3a?|hdfs|abfss?):[^\s\"']+)", text
    )
    if damaged:
        return BadDataError(
            f"{damaged[1]}: Spark cannot read this file; restore it or run again what wrote it"
        )
    return None


def one_line(error: BaseException) -> str:
    """What it says, as one line of a bearable length."""
    return " ".join(str(error).split())[:2000]
