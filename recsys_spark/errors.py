"""Every error this project raises on purpose, and the exit status a scheduler sees.

A message is one line: what is wrong, where (table, date, file), expected, got, what to do.
Anything else that escapes a job is a bug and keeps its traceback (exit status 1).
"""


class RecsysError(Exception):
    """The parent of every error with an exit status of its own."""

    exit_status = 1


class SettingsError(RecsysError, ValueError):
    """A setting, a mapping or a command-line value is unknown or out of its range."""

    exit_status = 10


class MissingInputError(RecsysError, FileNotFoundError):
    """A source folder, a day's data, a table or a model that the job needs is not there."""

    exit_status = 11


class BadDataError(RecsysError, ValueError):
    """The data break their contract: header, schema, share of bad rows, damaged file or table."""

    exit_status = 12


class TrainingError(RecsysError, RuntimeError):
    """Training cannot give a usable model: loss not finite, rows lost, index not a prefix."""

    exit_status = 13


class GateRefusedError(RecsysError, RuntimeError):
    """Tonight's model is worse than the gate allows; last night's lists stay live."""

    exit_status = 14


class RuleBrokenError(RecsysError, RuntimeError):
    """The lists about to go live break a rule (duplicates, seen items, wrong ranks)."""

    exit_status = 15


class LakeError(RecsysError, OSError):
    """The lake cannot be read or written: permissions, a path no reader can spell, a lost race."""

    exit_status = 16


class KeptListError(RecsysError, RuntimeError):
    """A list that was to be kept from an earlier night is not what ranking gives tonight."""

    exit_status = 17
