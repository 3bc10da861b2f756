"""Copies of what lies on a store that is not this machine's."""

from __future__ import annotations

from pathlib import Path

from pyarrow import fs

from recsys_spark.lake import storage


def test_fetching_again_leaves_an_open_copy_whole(tmp_path: Path) -> None:
    (tmp_path / "lake" / "model").mkdir(parents=True)
    (tmp_path / "lake" / "model" / "weights").write_bytes(b"the first night")
    root = str(tmp_path / "lake")
    remote = storage.Store(fs.LocalFileSystem(), root, f"file://{root}", root, is_local=False)
    copy = storage.download(remote, "model", tmp_path / "copies" / "model")
    with (copy / "weights").open("rb", buffering=0) as reading:
        assert reading.read(4) == b"the "
        (tmp_path / "lake" / "model" / "weights").write_bytes(b"THE SECOND NIGHT")
        assert storage.download(remote, "model", copy) == copy
        assert reading.read() == b"first night"
    assert (copy / "weights").read_bytes() == b"THE SECOND NIGHT"
    assert [path.name for path in copy.parent.iterdir()] == ["model"]
