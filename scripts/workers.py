"""Packs this project and the packages it needs beside Spark into one archive, for workers that have Python alone.

    .venv/bin/python scripts/workers.py [--out dist/workers.tar.gz] [--without-tensorflow]

Spark unpacks it on each executor (`spark.archives`). The packages are those of this environment, for the same minor
version of Python and the same sort of machine. Without TensorFlow no network can be scored; `transitions` can.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

import recsys_spark

PROJECT = "recsys-spark"
OF_SPARK = {"pyspark", "py4j"}
OF_NETWORKS = {"tensorflow", "tensorflow-cpu", "keras"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("dist/workers.tar.gz"))
    parser.add_argument("--without-tensorflow", action="store_true")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    without = OF_SPARK | (OF_NETWORKS if args.without_tensorflow else set())
    # Nothing of the clock goes in: the same packages make the same archive.
    with (
        args.out.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", dereference=True) as archive,
    ):
        for path, name in sorted(contents(without), key=lambda one: one[1]):
            archive.add(path, name, recursive=False, filter=plain)
    version = ".".join(map(str, sys.version_info[:2]))
    print(f"workers: {args.out}, {args.out.stat().st_size >> 20} MiB, for Python {version}")


def contents(without: set[str]) -> Iterator[tuple[Path, str]]:
    """Every file, and its name in the archive."""
    package = Path(recsys_spark.__file__).parent
    for path in walked(package):
        if path.suffix != ".pyc":
            yield path, f"recsys_spark/{path.relative_to(package)}"
    for found in needed(without):
        for file in found.files or ():
            if ".." not in file.parts and file.suffix not in (".pyc", ".pth"):
                yield Path(str(found.locate_file(file))), str(file)


def walked(folder: Path) -> Iterator[Path]:
    """All below a folder, links (jobs, conf) followed."""
    for path in folder.iterdir():
        yield from walked(path) if path.is_dir() else (path,)


def needed(without: set[str]) -> list[Distribution]:
    """The project and all it needs, but for some packages and what they alone need."""
    found: dict[tuple[str, str], Distribution] = {}
    waiting = [(PROJECT, "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found or name in without:
            continue
        found[name, extra] = distribution(name)
        for line in found[name, extra].requires or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                waiting += [(need.name.lower().replace("_", "-"), one) for one in ("", *need.extras)]
    return list({name: one for (name, _), one in found.items()}.values())


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
    return entry


if __name__ == "__main__":
    main()
