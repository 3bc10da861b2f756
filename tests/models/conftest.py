"""Every recommender, fitted once on the small shop of the contract."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from contract_fits import Fit, fit
from contract_shop import Examples, write_examples
from pyspark.sql import SparkSession

from recsys_spark import models


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return write_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="session")
def fit_once(
    examples: Examples, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Fit | None]:
    return functools.cache(lambda name: fit(name, examples, spark, tmp_path_factory.mktemp(name)))


@pytest.fixture(params=list(models.ALL))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fitted(name: str, fit_once: Callable[[str], Fit | None]) -> Fit | None:
    """None where nobody fits it."""
    return fit_once(name)
