"""What CONTRIBUTING names is where it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
TO_BE_ADDED = {"recsys_spark/models/last_item.py", "conf/mappings/NAME.yaml"}
FILES = sorted(set(re.findall(r"`((?:\w+/)*\w+\.(?:py|yaml|toml|md))`", PAGE)) - TO_BE_ADDED)


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_named_is_there(file: str) -> None:
    folders = (ROOT, ROOT / "recsys_spark", ROOT / "recsys_spark" / "tables")
    assert any((folder / file).is_file() for folder in folders)
