"""Typed settings, read once at the door: conf/base.yaml < overlays < environment < command line.

Meaning, unit and default of every key stand in conf/base.yaml; types and ranges stand in `sections`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from recsys_spark import layers
from recsys_spark.errors import SettingsError
from recsys_spark.sections import (
    BlendSettings,
    EaseSettings,
    EvaluateSettings,
    FeatureSettings,
    IngestSettings,
    LakeSettings,
    PersonalFrequencySettings,
    PublishSettings,
    RecommendSettings,
    RerankSettings,
    RuleSettings,
    Section,
    SelfAttentionSettings,
    SourceSettings,
    SparkSettings,
    SplitSettings,
    TrainSettings,
    TransitionSettings,
)

CONF = Path(__file__).parent / "conf"


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
        if len(members) > 1 and self.blend.pool_items < self.recommend.num_items:
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
    meant = [".".join([*path[:-1], key]) for key in near]
    meant += [
        f"{name}.{path[-1]}" for name, field in Config.model_fields.items() if _has_key(field, path[-1])
    ]
    hint = f"did you mean {meant[0]}?" if meant else f"known keys: {', '.join(known)}"
    return f"setting {where}: unknown key; {hint}"


def _has_key(field: Any, key: str) -> bool:
    return key in getattr(field.annotation, "model_fields", {})
