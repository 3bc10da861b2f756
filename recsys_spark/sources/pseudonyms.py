"""Keyed pseudonyms for user ids: without the key nobody can tell whose row it is."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Any, cast

import pandas as pd
from pyspark.sql import Column
from pyspark.sql.pandas.functions import pandas_udf

from recsys_spark.errors import SettingsError
from recsys_spark.python_tasks import trust_archives

KEY_NAME = "RECSYS_PSEUDONYM_KEY"
MIN_KEY_BYTES = 16


def key_from_environment() -> bytes:
    """The secret key.

    Raises:
        SettingsError: the variable is absent or shorter than 16 bytes.
    """
    key = os.environ.get(KEY_NAME, "").encode()
    if len(key) < MIN_KEY_BYTES:
        raise SettingsError(
            f"ingest.pseudonyms is true, but {KEY_NAME} holds {len(key)} bytes, expected at least "
            f"{MIN_KEY_BYTES}: set it in the environment, the same every night"
        )
    return key


def pseudonym(ids: Column, key: bytes) -> Column:
    """HMAC-SHA-256 of the id's UTF-8 bytes, in hex; null stays null.

    It is computed in the Python worker so that the key never stands in a query plan.
    """

    def digests(ids: pd.Series) -> pd.Series:
        trust_archives()
        known: dict[str, str] = {}
        for user_id in ids.dropna().unique():
            known[user_id] = hmac.digest(key, user_id.encode(), "sha256").hex()
        return ids.map(known).astype(object).where(ids.notna(), None)

    apply = cast(Callable[[Column], Column], cast(Any, pandas_udf)(digests, "string"))
    return apply(ids)
