"""The hash of an index's prefix."""

from __future__ import annotations

import hashlib

import pyarrow as pa

from recsys_spark.scoring.index_hash import ids_of, prefix_hash

IDS = [(2, "a"), (3, " space, comma"), (4, "\U0001f600é"), (5, "007")]


def test_order_does_not_matter_and_a_changed_number_does() -> None:
    assert prefix_hash(IDS[::-1], 6) == prefix_hash(IDS, 6)
    assert prefix_hash([(3, "a"), (2, " space, comma"), *IDS[2:]], 6) != prefix_hash(IDS, 6)


def test_ids_numbered_later_do_not_matter() -> None:
    assert prefix_hash([*IDS, (6, "new")], 6) == prefix_hash(IDS, 6)


def test_it_is_that_of_two_sums_over_the_digests_of_the_numbered_ids() -> None:
    digests = [hashlib.sha256(f"{idx} {id_}".encode()).hexdigest() for idx, id_ in IDS[:2]]
    sums = [sum(int(digest[at : at + 15], 16) for digest in digests) for at in (0, 15)]
    assert prefix_hash(IDS, 4) == hashlib.sha256(f"2 {sums[0]} {sums[1]}".encode()).hexdigest()
    assert prefix_hash([], 9) == hashlib.sha256(b"0 0 0").hexdigest()


def test_the_ids_of_the_index_are_its_numbers_and_texts() -> None:
    numbers, texts = zip(*IDS, strict=True)
    rows = pa.table({"item_id": texts, "item_idx": pa.array(numbers, pa.int32())})
    assert ids_of(rows) == IDS
