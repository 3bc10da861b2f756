"""Page checksums in the files that tests write: pyarrow has them from version 15 on."""

from __future__ import annotations

from typing import Any

from recsys_spark.training.files import VERIFIED

WRITTEN: dict[str, Any] = {"write_page_checksum": True} if VERIFIED else {}
