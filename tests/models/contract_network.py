"""Save a network as it is before training, of the size that it keeps, in a process of its own; prints its files.

Run by test_contract_memory.py with four arguments: the recommender's name, the folder, V and L.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from recsys_spark import config, models
from recsys_spark.forms.item_tower import Columns
from recsys_spark.networks.network import Items
from recsys_spark.training import network_folder
from recsys_spark.training.watch import Speed


def main(name: str, folder: Path, num_items: int, length: int) -> None:
    counts = (np.arange(num_items) >= 2).astype(np.int64)
    section = {**config.load().section_of(name), "history_length": length, "num_types": 2}
    network = models.module(name).network(section, Items(counts, np.ones((num_items, 1), np.float32)), seed=1)
    columns = Columns(["price"], [0.0], [1.0])
    print(json.dumps(network_folder.save(network, columns, Speed(1, 1, 0), folder)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
