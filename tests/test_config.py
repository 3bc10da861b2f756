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
        ("publish.metric=hits", "setting publish.metric: expected one of ndcg, recall, .*hit_rate, got hits"),
        ("publish.metric=diversity", "setting publish.metric: expected one of ndcg.*got diversity"),
        ("publish.k=7", "publish.k 7 is not one of evaluate.ks"),
        (
            "spark.py_files=[dist/recsys_spark.whl]",
            "setting spark.py_files.0: .*zip.*got dist/recsys_spark.whl",
        ),
        ("train", "--set train: expected section.key=value"),
        (
            "self_attention.epochs.more=3",
            "--set self_attention.epochs.more: self_attention.epochs is '24', which has no keys",
        ),
        ("self_attention={epoks: 3}", "setting self_attention.epoks: unknown key; .*self_attention.epochs?"),
        ("train.epochs=3", "setting train.epochs: unknown key; did you mean self_attention.epochs?"),
        ("train=3", "setting train: .*valid dictionary.*got 3"),
        ("train={epochs: ", "--set train: not YAML: "),
        ("sources.a b.mapping=x", "sources"),
    ],
)
def test_a_wrong_setting_is_one_line(option: str, line: str) -> None:
    with pytest.raises(SettingsError, match=line) as raised:
        config.load([], [option])
    assert "\n" not in str(raised.value)


TWO_SOURCES = """
sources: {shop: {mapping: m.yaml, folder: a}, de: {mapping: d.yaml, folder: b}}
spark: {conf: {spark.ui.enabled: 'false', spark.local.dir: /x}}
rules: {boosts: {Drama: 2, Comedy: 3}, blocked_items: [a, b]}
"""


@pytest.fixture
def overlay(tmp_path: Path) -> str:
    (tmp_path / "mine.yaml").write_text(TWO_SOURCES)
    return str(tmp_path / "mine.yaml")


def folders(chosen: config.Config) -> dict[str, str]:
    return {name: source.folder for name, source in chosen.sources.items()}


def test_a_mapping_of_the_users_keys_is_replaced_whole(overlay: str) -> None:
    chosen = config.load(
        [overlay],
        ["sources={fr: {mapping: f.yaml, folder: c}}", "spark={conf: {spark.x: y}}", "rules.boosts={War: 4}"],
    )
    assert folders(chosen) == {"fr": "c"}
    assert chosen.spark.conf == {"spark.x": "y"}
    assert chosen.rules.boosts == {"War": 4}
    assert chosen.spark.master == config.load().spark.master  # a section: keys that are not named stay
    assert chosen.rules.blocked_items == ("a", "b")


def test_a_list_is_replaced_whole(overlay: str) -> None:
    assert config.load([overlay], ["rules.blocked_items=[c]"]).rules.blocked_items == ("c",)
    assert config.load([overlay], ["rules={blocked_items: []}"]).rules.blocked_items == ()


def test_one_key_of_a_mapping_changes_alone(overlay: str) -> None:
    options = ["sources.de.folder=c", "spark.conf.spark.ui.enabled=true", "rules.boosts.Sci-Fi=4"]
    chosen = config.load([overlay], options)
    assert folders(chosen) == {"shop": "a", "de": "c"}
    assert chosen.sources["de"].mapping == "d.yaml"
    assert chosen.spark.conf == {"spark.ui.enabled": "true", "spark.local.dir": "/x"}
    assert chosen.rules.boosts == {"Drama": 2, "Comedy": 3, "Sci-Fi": 4}
    assert folders(config.load([overlay], ["sources.de={folder: c}"])) == {"shop": "a", "de": "c"}


def test_options_count_one_after_the_other(overlay: str) -> None:
    whole, one = "sources={de: {mapping: x, folder: y}}", "sources.de.folder=z"
    assert folders(config.load([overlay], [whole, one])) == {"de": "z"}
    assert folders(config.load([overlay], [one, whole])) == {"de": "y"}
    assert (
        config.load([], ["self_attention.epochs=5", "self_attention={epochs: 6}"]).self_attention.epochs == 6
    )
    assert (
        config.load([], ["self_attention={epochs: 6}", "self_attention.epochs=5"]).self_attention.epochs == 5
    )


def test_the_environment_sets_like_the_command_line(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "RECSYS__SOURCES__FR__FOLDER", "d"
    )  # after the whole mapping, in whatever order they stand
    monkeypatch.setenv("RECSYS__SOURCES", '{"fr": {"mapping": "f.yaml", "folder": "c"}}')
    monkeypatch.setenv("RECSYS__SELF_ATTENTION", "{epochs: 6}")
    monkeypatch.setenv("RECSYS__LAKE__ROOT", "2024")
    chosen = config.load([overlay])
    assert folders(chosen) == {"fr": "d"}
    network = chosen.self_attention
    assert (network.epochs, network.batch_size) == (6, config.load().self_attention.batch_size)
    assert chosen.lake.root == "2024"  # a text that looks like a number stays a text
    assert folders(config.load([overlay], ["sources={}"])) == {}


def test_a_mistyped_variable_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS__TRIAN__EPOCHS", "3")
    with pytest.raises(SettingsError, match=r"setting trian: unknown key; did you mean train\?"):
        config.load()


def test_files_are_merged(overlay: str, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("sources: {de: {folder: c}}\nrules: {blocked_items: [z]}\n")
    chosen = config.load([overlay, str(tmp_path / "more.yaml")])
    assert folders(chosen) == {"shop": "a", "de": "c"}
    assert chosen.rules.blocked_items == ("z",)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- train", "settings file .*mine.yaml: expected sections"),
        ("train: {", "settings file .*mine.yaml: not YAML"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SettingsError, match=line) as raised:
        config.load([str(tmp_path / "mine.yaml")])
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


def test_a_blend_nominates_no_fewer_items_than_a_list_has_and_without_one_lists_may_be_longer() -> None:
    long = ["recommend.num_items=1000", "blend.pool_items=999"]
    for alone in ("popularity", "transitions"):
        assert config.load([], [f"recommend.recommenders={alone}", *long]).recommend.num_items == 1000
    with pytest.raises(SettingsError, match=r"blend.pool_items 999 is less than recommend.num_items 1000"):
        config.load([], ["recommend.recommenders=[transitions, ease]", *long])
