"""Settings: layers, documentation of every key, and the line a wrong key gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from recsys_spark import config
from recsys_spark.errors import SettingsError


def test_later_layers_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("self_attention: {epochs: 5, num_heads: 4, patience: 5}\n")
    monkeypatch.setenv("RECSYS__SELF_ATTENTION__EPOCHS", "6")
    monkeypatch.setenv("RECSYS__SELF_ATTENTION__NUM_HEADS", "2")
    network = config.load([str(overlay)], ["self_attention.epochs=7"]).self_attention
    assert (network.epochs, network.num_heads, network.patience) == (7, 2, 5)
    assert (
        network.batch_size == config.load().self_attention.batch_size
    )  # keys no layer names keep their default


@pytest.mark.parametrize(
    ("option", "line"),
    [
        (
            "self_attention.epoch=3",
            "setting self_attention.epoch: unknown key; did you mean self_attention.epochs?",
        ),
        ("trian.epochs=3", "setting trian: unknown key; did you mean train?"),
        ("self_attention.epochs=many", "setting self_attention.epochs: .*valid integer.*got many"),
        ("self_attention.epochs=0", "setting self_attention.epochs: .*greater than or equal to 1.*got 0"),
        ("ingest.max_quarantined_share=.nan", "setting ingest.max_quarantined_share"),
        (
            "self_attention.negatives=hard",
            "setting self_attention.negatives: .*'uniform', 'popularity' or 'in_batch'.*got hard",
        ),
        ("self_attention.mask_share=1", "setting self_attention.mask_share: .*less than 1, got 1"),
        ("publish.k=7", "publish.k 7 is not one of evaluate.ks"),
        (
            "spark.py_files=[dist/recsys_spark.whl]",
            "setting spark.py_files.0: .*zip.*got dist/recsys_spark.whl",
        ),
        ("train", "--set train: expected section.key=value"),
        ("sources.a b.mapping=x", "sources"),
    ],
)
def test_a_wrong_setting_is_one_line(option: str, line: str) -> None:
    with pytest.raises(SettingsError, match=line) as raised:
        config.load([], [option])
    assert "\n" not in str(raised.value)


def test_in_batch_negatives_are_not_drawn() -> None:
    with pytest.raises(SettingsError, match="negatives in_batch draws none: expected num_negatives 0, got 9"):
        config.load([], ["self_attention.negatives=in_batch", "self_attention.num_negatives=9"])
    assert config.load([], ["self_attention.negatives=in_batch"]).self_attention.num_negatives == 0


def test_a_missing_overlay_names_the_shipped_ones() -> None:
    with pytest.raises(SettingsError, match="no file nowhere.*shipped: .*local"):
        config.load(["nowhere"])


def test_every_key_stands_in_base_yaml_with_a_comment() -> None:
    text = (config.CONF / "base.yaml").read_text()
    base = yaml.safe_load(text)
    for name, field in config.Config.model_fields.items():
        assert name in base
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            assert list(base[name]) == list(section.model_fields)
            for key in section.model_fields:
                body = re.split(r"\n(?=\S)", text.split(f"\n{name}:")[1])[0]
                (line,) = [x for x in body.splitlines() if x.startswith(f"  {key}:")]
                assert "#" in line, f"{name}.{key} has no comment"


def test_the_fingerprint_follows_the_settings() -> None:
    assert config.load().fingerprint() == config.load().fingerprint()
    assert config.load().fingerprint() != config.load([], ["train.seed=2"]).fingerprint()
