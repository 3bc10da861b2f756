"""The form `vectors`: its folder and its memory. Lists by it are tested with the ranker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.forms import folder as folders
from recsys_spark.forms import vectors
from recsys_spark.forms.form import Size
from recsys_spark.forms.inner_product import directions
from recsys_spark.ranking import top_n
from recsys_spark.ranking.survivors import cells_of

VECTORS = np.array([[0, 0, 9], [0, 0, 0], [3, 4, 7], [-2, 0, 1]], np.float32)
TRAINED = np.arange(4) >= 2
FILES = [vectors.ITEM_VECTORS, vectors.ITEM_DIRECTIONS, folders.TRAINED_ITEMS, folders.SETTINGS]
SIZE = Size(batch_users=256, pool_items=20, num_places=256 * 20, history_length=50)
MIB = 1 << 20


def save(folder: Path) -> dict[str, str]:
    return vectors.save(folder, {"dim": 2}, VECTORS, TRAINED)


def test_directions_have_length_1_and_no_bias_and_what_has_no_length_stays_0() -> None:
    got = directions(VECTORS)
    np.testing.assert_allclose(got, [[0, 0], [0, 0], [0.6, 0.8], [-1, 0]], rtol=1e-6)
    assert got.dtype == np.float32


def test_what_is_loaded_is_what_was_saved_and_lies_in_the_file(tmp_path: Path) -> None:
    files = save(tmp_path)
    assert sorted(files) == sorted(FILES) == sorted(path.name for path in tmp_path.iterdir())
    folders.verify(tmp_path, files)
    form = vectors.load(tmp_path, lambda users: users["items"])
    np.testing.assert_array_equal(form.item_vectors, VECTORS)
    np.testing.assert_array_equal(form.directions, directions(VECTORS))
    np.testing.assert_array_equal(form.is_trained, TRAINED)
    assert isinstance(form.item_vectors, np.memmap) and isinstance(form.directions, np.memmap)
    assert folders.load_settings(tmp_path) == {"dim": 2}


@pytest.mark.parametrize("name", FILES[:3])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    save(tmp_path)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadDataError, match=f"{name}: cannot be read"):
        vectors.load(tmp_path, lambda users: users["items"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100,000 items in 64 dimensions and a bias; nothing encodes users."""
    folder = tmp_path_factory.mktemp("vectors")
    rows = np.zeros((100_000, 65), np.float32)
    vectors.save(folder, {}, rows, np.ones(len(rows), np.bool_))
    return folder


@pytest.fixture(scope="module")
def network_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same items; a network encodes users."""
    with_weights = tmp_path_factory.mktemp("network")
    (with_weights / vectors.ITEM_VECTORS).symlink_to(folder / vectors.ITEM_VECTORS)
    (with_weights / vectors.WEIGHTS).touch()
    return with_weights


def needs(folder: Path, **other: Any) -> Any:
    return vectors.needs(folder, SIZE._replace(**other))


def test_the_vectors_and_directions_are_shared_by_the_workers_of_a_machine(folder: Path) -> None:
    assert needs(folder).shared == 100_000 * (65 + 64) * 4  # vectors, and directions without the bias


def test_ranking_takes_a_block_of_users_and_of_items_and_no_more_users_than_a_batch(folder: Path) -> None:
    many, few = (needs(folder, batch_users=num).ranking for num in (256, 64))
    assert many - few == 8 * (256 - 64) * (cells_of(20) + 65)
    by_thousand = [needs(folder, pool_items=4000, batch_users=num).ranking for num in (256, 512)]
    assert top_n.blocks(65, 4000)[1] < 256
    assert by_thousand[0] == by_thousand[1]


def test_a_network_costs_tensorflow_and_its_addresses(folder: Path, network_folder: Path) -> None:
    plain, network = needs(folder), needs(network_folder)
    assert (plain.runtime, plain.reserved) == (0, 0)
    assert network.runtime > 500 * MIB and network.reserved > 700 * MIB
    assert (network.shared, network.ranking) == (plain.shared, plain.ranking)


def test_encoding_long_histories_costs_their_square(network_folder: Path) -> None:
    short, long = (needs(network_folder, history_length=length).runtime for length in (50, 400))
    assert long - short > 256 * 4 * 4 * (400**2 - 50**2)


def test_explanations_by_encoding_again_hold_the_vectors_of_all_listed_items(folder: Path) -> None:
    plain, explained = (
        needs(folder, num_places=256 * 1000, is_explained=is_explained).beside
        for is_explained in (False, True)
    )
    assert explained - plain == 256 * 1000 * 65 * 20


def test_vectors_of_cold_items_lie_in_every_worker_with_their_directions(folder: Path) -> None:
    assert needs(folder, num_cold=10_000).beside - needs(folder).beside == 10_000 * 65 * 4 * 3
