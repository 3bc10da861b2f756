"""A recommender's name stands in its own file, in `models.ALL` and in the settings, and nobody asks what form it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_spark import models

HERE = Path(__file__).parent.parent
SETTINGS = {"config.py", "sections.py"}
# Literals that are spelt like a recommender and mean something else, by what and where.
SPELT_ALIKE = {
    ("popularity", "a column of item_features and segment_popularity"): {
        "tables/features.py", "transforms/item_features.py", "transforms/item_popularity.py", "scoring/catalogue.py",
        "evaluation/item_facts.py", "evaluation/checks/items.py",
    },
    ("popularity", "how a network's negatives are drawn"): {"networks/negatives.py", "models/self_attention.py"},
    ("blend", "the form"): {"scoring/loaded_models.py"},
}  # fmt: skip
ROOT = HERE / "recsys_spark"


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every file by its path below recsys_spark, the jobs among them."""
    for path in sorted([*ROOT.rglob("*.py"), *(HERE / "jobs").glob("*.py")]):
        name = path.relative_to(ROOT if path.is_relative_to(ROOT) else HERE).as_posix()
        if not path.is_relative_to(ROOT / "jobs"):  # the same files by a link
            yield name, ast.parse(path.read_text())


def named_in(tree: ast.Module) -> set[str]:
    """Names of recommenders that the code holds as a text, an attribute or an import; longer texts are for people."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) | ast.MatchValue(value=ast.Constant(value=str(text))):
                names |= {text}
            case ast.Attribute(
                value=ast.Name(id="models" | "config"), attr=text
            ):  # its module or its section
                names |= {text}
            case ast.ImportFrom(module="recsys_spark.models", names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module)) if module.startswith("recsys_spark.models."):
                names |= {module.split(".")[2]}
            case ast.Import(names=aliases):
                names |= {part for alias in aliases for part in alias.name.split(".")[2:3]}
    return names & set(models.ALL)


def forms_in(tree: ast.Module) -> set[str]:
    """Classes that offer what `Form` does, and popularity's."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {
        node.name
        for node in classes
        if node.name == "Segments"
        or {"ranking", "explaining"} <= {getattr(part, "name", "") for part in node.body}
    }


def asked_for_in(tree: ast.Module) -> set[str]:
    """Names of classes that a type test or a pattern asks for."""
    asked: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
                asked |= _names(kinds)
            case ast.Compare(left=ast.Call(func=ast.Name(id="type")), comparators=kinds):
                asked |= {name for kind in kinds for name in _names(kind)}
            case ast.MatchClass(cls=kind):
                asked |= _names(kind)
    return asked


def _names(node: ast.AST) -> set[str]:
    parts = list(ast.walk(node))
    return {part.id for part in parts if isinstance(part, ast.Name)} | {
        part.attr for part in parts if isinstance(part, ast.Attribute)
    }


def is_allowed(name: str, file: str) -> bool:
    at_home = {"models/__init__.py", f"models/{name}.py", *SETTINGS}
    alike = [files for (spelt, _), files in SPELT_ALIKE.items() if spelt == name]
    return file in at_home.union(*alike)


def test_no_file_but_its_own_the_list_and_the_settings_names_a_recommender() -> None:
    named = {(name, file) for file, tree in sources() for name in named_in(tree)}
    assert sorted(f"{file}: {name}" for name, file in named if not is_allowed(name, file)) == []
    unused = {(name, file) for (name, _), files in SPELT_ALIKE.items() for file in files} - named
    assert not unused, "exceptions that nothing needs"


def test_nobody_outside_forms_asks_what_form_a_recommender_has() -> None:
    trees = dict(sources())
    forms = set().union(*(forms_in(tree) for file, tree in trees.items() if file.startswith("forms/")))
    assert {"ItemItem", "Vectors", "Blend", "Segments"} <= forms
    assert {
        file: asked_for_in(tree) & forms
        for file, tree in trees.items()
        if not file.startswith("forms/") and asked_for_in(tree) & forms
    } == {}


@pytest.mark.parametrize(
    "code",
    [
        "x = 'ease'", "if name == 'ease': pass", "config.ease.regularization", "models.ease.fit",
        "from recsys_spark.models import ease", "import recsys_spark.models.ease",
        "from recsys_spark.models.ease import fit",
        "match name:\n case 'ease': pass", "f({'ease': 1})",
    ],
)  # fmt: skip
def test_a_name_is_seen_however_it_is_written(code: str) -> None:
    assert named_in(ast.parse(code)) == {"ease"}
    assert named_in(ast.parse(f"'''{code} ease'''  # 'ease'\nx = 'lower ease.regularization'")) == set()


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(form, Blend)", "isinstance(form, (int, blend.Blend))", "type(form) is Blend",
        "match form:\n case Blend(): pass", "match form:\n case forms.Blend(): pass", "issubclass(kind, Blend)",
    ],
)  # fmt: skip
def test_a_type_test_is_seen_however_it_is_written(code: str) -> None:
    assert "Blend" in asked_for_in(ast.parse(code))
