"""The sections of the settings: types and ranges. Meaning, unit and default of every key stand in conf/base.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from recsys_spark import models

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
NotNegative = Annotated[float, Field(ge=0)]
Decay = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LakeSettings(Section):
    root: str


class SparkSettings(Section):
    master: str
    driver_memory: str
    shuffle_partitions: Count
    py_files: tuple[Annotated[str, Field(pattern=r"\.(zip|egg|py)$")], ...]
    conf: dict[str, str]


class SourceSettings(Section):
    mapping: str
    folder: str


class IngestSettings(Section):
    on_no_data: Literal["fail", "skip"]
    on_bad_file: Literal["fail", "quarantine"]
    max_quarantined_share: Share
    max_events_per_user_day: Count
    max_record_lines: Count
    quiet_seconds: NotNegative
    ready_marker: str | None
    pseudonyms: bool


class FeatureSettings(Section):
    event_types: tuple[str, ...]
    history_length: Count
    history_days: Count
    half_life_days: Positive
    num_categories: Annotated[int, Field(ge=0)]
    title_buckets: Annotated[int, Field(ge=0)]
    user_example_items: Count
    imbalance_power: NotNegative
    row_group_rows: Count
    tie_seed: int


class SplitSettings(Section):
    kind: Literal["time", "leave_last_out"]
    valid_days: Count
    test_days: Count
    min_users: Count


class TrainSettings(Section):
    enabled: bool
    min_train_users: Count
    max_valid_users: Count
    window_row_groups: Count
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    num_workers: Count
    num_threads: Count
    warm_start: bool
    checkpoint_steps: Annotated[int, Field(ge=0)]
    work_dir: str | None
    log_dir: str | None


class NetworkSettings(Section):
    embedding_dim: Count
    dropout: Dropout
    optimizer: Literal["adam", "adagrad", "sgd"]
    learning_rate: Positive
    batch_size: Count
    epochs: Count
    patience: Count
    num_negatives: Annotated[int, Field(ge=0)]
    negatives: Literal["uniform", "popularity", "in_batch"]
    mixed_precision: bool

    @model_validator(mode="after")
    def _in_batch_draws_none(self) -> NetworkSettings:
        if self.negatives == "in_batch" and self.num_negatives:
            raise ValueError(
                f"negatives in_batch draws none: expected num_negatives 0, got {self.num_negatives}"
            )
        return self


class SelfAttentionSettings(NetworkSettings):
    num_blocks: Count
    num_heads: Count
    crop_share: Share
    mask_share: Dropout
    reorder_share: Share

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> SelfAttentionSettings:
        if self.embedding_dim % self.num_heads:
            raise ValueError(
                f"embedding_dim {self.embedding_dim} is not a multiple of num_heads {self.num_heads}"
            )
        return self


class TransitionSettings(Section):
    max_lag: Count
    lag_decay: Decay
    max_neighbours: Annotated[int, Field(ge=1, le=10_000)]
    row_power: Share
    history_decay: Decay


class EaseSettings(Section):
    regularization: Positive
    weight_power: NotNegative


class PersonalFrequencySettings(Section):
    half_life_days: Positive


class BlendSettings(Section):
    by: Literal["ranks", "scores"]
    weights: tuple[NotNegative, ...] | Literal["equal", "fitted"]
    pool_items: Count


def _listed(value: Any) -> Any:
    """One name is a list of one."""
    return (value,) if isinstance(value, str) else value


def _known_recommenders(names: tuple[str, ...]) -> tuple[str, ...]:
    choices = [name for name, facts in models.ALL.items() if facts.fitted_by != "members"]
    for name in names:
        if name not in choices:
            raise ValueError(f"{name} is no recommender; expected some of {', '.join(choices)}")
    if not names or len(set(names)) < len(names):
        raise ValueError("expected one recommender at least, each once")
    if len(names) > 1 and models.POPULARITY in names:
        raise ValueError(
            f"{models.POPULARITY} fills what the others leave empty and is no part of a blend: leave it out"
        )
    return names


class RecommendSettings(Section):
    recommenders: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_known_recommenders)]
    num_items: Annotated[int, Field(ge=1, le=1000)]
    active_days: Count | Literal["all"]
    repeats: Literal["forbidden", "allowed"]
    item_based_max_events: Annotated[int, Field(ge=0)]
    cold_items: Literal["left_out", "by_features"]
    explain: bool
    num_reasons: Count
    control_share: Share
    only_changed: bool
    checked_share: Share
    max_model_age_days: Annotated[int, Field(ge=0)]
    num_similar: Count
    batch_users: Annotated[int, Field(ge=2)]
    num_threads: Count
    file_mib: Count
    python_memory: Annotated[str, Field(pattern=r"^[1-9]\d*[kmgt]$")] | None


class RerankSettings(Section):
    by: Literal["none", "diversity", "calibration"]
    trade_off: Share
    pool_items: Count


class RuleSettings(Section):
    blocked_items: tuple[str, ...]
    blocked_categories: tuple[str, ...]
    blocking_events: tuple[str, ...]
    boosts: dict[str, Positive]
    max_per_category: Annotated[int, Field(ge=0)]
    max_per_seller: Annotated[int, Field(ge=0)]
    max_nights: Annotated[int, Field(ge=0)]
    of_nights: Count
    num_new_items: Annotated[int, Field(ge=0)]
    new_item_events: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0, lt=2**31)]


class EvaluateSettings(Section):
    ks: tuple[Count, ...]
    bootstrap_samples: Annotated[int, Field(ge=100)]
    seed: int


class PublishSettings(Section):
    metric: str
    k: Count
    margin: float

    @field_validator("metric")
    @classmethod
    def _may_gate(cls, metric: str) -> str:
        from recsys_spark.ranking.metric_table import names_for_gate  # NumPy, which no help text needs

        if metric not in names_for_gate():
            raise ValueError(f"expected one of {', '.join(names_for_gate())}")
        return metric
