"""Typed settings, read once at the door: conf/base.yaml < overlays < environment < command line.

Meaning, unit and default of every key stand in conf/base.yaml; this file holds types and ranges.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from recsys_spark import layers, models
from recsys_spark.errors import SettingsError

CONF = Path(__file__).parent / "conf"

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


class Config(Section):
    """All settings of a run. Build it with `load`, which turns faults into one clear line."""

    lake: LakeSettings
    spark: SparkSettings
    sources: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], SourceSettings]
    ingest: IngestSettings
    features: FeatureSettings
    split: SplitSettings
    train: TrainSettings
    self_attention: SelfAttentionSettings
    transitions: TransitionSettings
    ease: EaseSettings
    personal_frequency: PersonalFrequencySettings
    blend: BlendSettings
    recommend: RecommendSettings
    rerank: RerankSettings
    rules: RuleSettings
    evaluate: EvaluateSettings
    publish: PublishSettings

    @model_validator(mode="after")
    def _gate_is_measured(self) -> Config:
        if self.publish.k not in self.evaluate.ks:
            raise ValueError(f"publish.k {self.publish.k} is not one of evaluate.ks {list(self.evaluate.ks)}")
        return self

    @model_validator(mode="after")
    def _blend_fits(self) -> Config:
        members, weights = self.recommend.recommenders, self.blend.weights
        if (
            len(members) > 1
            and isinstance(weights, tuple)
            and (len(weights) != len(members) or not any(weights))
        ):
            raise ValueError(
                f"blend.weights {list(weights)}: expected one for each of recommend.recommenders, not all 0: "
                f"{', '.join(members)}"
            )
        if self.blend.pool_items < self.recommend.num_items:
            raise ValueError(
                f"blend.pool_items {self.blend.pool_items} is less than recommend.num_items {self.recommend.num_items}"
            )
        return self

    @model_validator(mode="after")
    def _repeats_fit(self) -> Config:
        if "personal_frequency" in self.recommend.recommenders and self.recommend.repeats == "forbidden":
            raise ValueError(
                "recommend.recommenders: personal_frequency lists what a user has seen, which recommend.repeats: "
                "forbidden leaves out; set recommend.repeats to allowed"
            )
        return self

    @model_validator(mode="after")
    def _rules_fit(self) -> Config:
        if self.rules.num_new_items >= self.recommend.num_items:
            raise ValueError(
                f"rules.num_new_items {self.rules.num_new_items} leaves no place of recommend.num_items "
                f"{self.recommend.num_items} for anything else"
            )
        if self.recommend.only_changed and self.rules.num_new_items:
            raise ValueError(
                f"recommend.only_changed would keep no list: rules.num_new_items {self.rules.num_new_items} draws "
                "other items into every list each night; set one of the two to false or 0"
            )
        if self.recommend.only_changed and self.rules.max_nights == 1:
            raise ValueError(
                "recommend.only_changed would keep no list: rules.max_nights 1 takes what a user was shown out of the "
                "next night's list; set one of the two to false or 0"
            )
        both = sorted(set(self.rules.blocking_events) & set(self.features.event_types))
        if both:
            raise ValueError(
                f"rules.blocking_events: {', '.join(both)} also in features.event_types; a model would learn "
                "from them what users like: take them out of one"
            )
        return self

    def section_of(self, recommender: str) -> dict[str, Any]:
        """A recommender's own settings; empty where it has none."""
        section = getattr(self, recommender, None)
        return section.model_dump() if isinstance(section, Section) else {}

    def fingerprint(self) -> str:
        """sha256 of the settings in canonical JSON."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def load(overlays: Sequence[str] = (), options: Iterable[str] = ()) -> Config:
    """Read base.yaml, then `overlays` (files, or names in conf/), the environment and `options`.

    Args:
        overlays: later ones win. A bare name such as `local` means conf/local.yaml.
        options: `section.key=value` strings; the value is read as YAML. They count one after the other.

    Raises:
        SettingsError: a file is missing, a key is unknown or mistyped, a value is out of range; or this package
            was imported from an archive, which has no folder of settings.
    """
    if not CONF.is_dir():
        raise SettingsError(
            f"{CONF}: no folder: this program was loaded from an archive; start it from a checkout or an installed "
            "wheel, without --py-files, and name the archive in the setting spark.py_files"
        )
    files = [CONF / "base.yaml", *map(_overlay, overlays)]
    changes = [*layers.of_environment(os.environ, "RECSYS"), *layers.of_options(options)]
    try:
        return Config.model_validate(layers.changed(layers.of_files(files), changes, Config))
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(dict(fault)) for fault in error.errors())) from None


def _overlay(name: str) -> Path:
    for path in (Path(name), CONF / f"{name}.yaml"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(p.stem for p in CONF.glob("*.yaml") if p.stem != "base"))
    raise SettingsError(f"settings: no file {name} and no shipped overlay of that name (shipped: {shipped})")


def _explain(fault: dict[str, Any]) -> str:
    path = [str(part) for part in fault["loc"]]
    where = ".".join(path) or "settings"
    if fault["type"] != "extra_forbidden":
        problem = fault["msg"].removeprefix("Value error, ")
        got = "" if isinstance(fault["input"], dict) else f", got {fault['input']}"
        return f"setting {where}: {problem}{got}"
    model: Any = Config
    for part in path[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    known = list(getattr(model, "model_fields", {}))
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    near_path = ".".join([*path[:-1], *near])
    hint = f"did you mean {near_path}?" if near else f"known keys: {', '.join(known)}"
    return f"setting {where}: unknown key; {hint}"
