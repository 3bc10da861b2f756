"""Every command of the README, as it stands there, on the lake that one whole night of each recommender left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import nights
import pytest
import yaml
from nights import FIRST, SECOND
from test_outside_readers import README, snippet

from recsys_spark import models, night, tables
from recsys_spark.lake import Lake

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent.parent
USER = "u0007"
# By recommender, what its night is set to beside its own name.
CHANGES = {
    # Nobody of the planted shop takes an item twice: the gate rightly finds that popularity serves it better.
    "personal_frequency": {"recommend__repeats": "allowed", "publish__margin": "1.0"},
    models.BLEND: {"recommend__recommenders": "[transitions, ease]"},
}


class Night(NamedTuple):
    """What a whole night by the README's command left."""

    recommender: str
    settings: Path
    lake: Lake
    done: subprocess.CompletedProcess[str]


def command(line: str, settings: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the README, with these settings for its own and a user of the lake."""
    words = line.replace("my_settings.yaml", str(settings)).replace("CUSTOMER", USER).split()
    if words[0].endswith("recsys-spark"):
        words[0] = str(Path(sys.executable).with_name("recsys-spark"))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(words, cwd=HERE, env=env, text=True, capture_output=True, check=False)


def readme_line(begin: str) -> str:
    """The README's line of shell that begins so."""
    [line] = re.findall(rf"^ *({re.escape(begin)}.*my_settings\.yaml)$", README, re.M)
    return str(line)


def nested(options: list[str]) -> dict[str, Any]:
    """Settings as a file holds them."""
    sections: dict[str, Any] = {}
    for option in options:
        name, _, value = option.partition("=")
        *path, last = name.split(".")
        section = sections
        for part in path:
            section = section.setdefault(part, {})
        section[last] = yaml.safe_load(value)
    return sections


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nights.write_source(tmp_path_factory.mktemp("source"), nights=1)


@pytest.fixture(scope="module", params=list(models.ALL))
def ran(request: pytest.FixtureRequest, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """One night; the README's date is the planted shop's first."""
    folder = tmp_path_factory.mktemp(request.param)
    changes = {"recommend__recommenders": f"[{request.param}]", **CHANGES.get(request.param, {})}
    settings = folder / "settings.yaml"
    settings.write_text(yaml.safe_dump(nested(nights.options(folder / "lake", source, **changes))))
    done = command(readme_line("scripts/nightly.sh"), settings)
    assert done.returncode == 0, done.stderr[-3000:]
    return Night(request.param, settings, Lake(str(folder / "lake")), done)


def listed(ran: Night) -> dict[str, dict[str, Any]]:
    rows = ran.lake.read_rows(tables.RECOMMENDATIONS, FIRST).to_pylist()
    return {row["user_id"]: row for row in rows}


def test_the_night_passes_every_job_and_tells_so_in_one_line_last(ran: Night) -> None:
    facts = json.loads(ran.done.stdout.splitlines()[-1])
    assert [(job["job"], job["exit_status"]) for job in facts["jobs"]] == [(job, 0) for job in night.JOBS]
    assert (facts["run_date"], facts["exit_status"], facts["live_run_date"]) == (str(FIRST), 0, str(FIRST))
    assert facts["rows"]["recommendations"] == len(listed(ran)) == facts["active_users"] > nights.USERS


def test_the_recommender_fills_the_lists_and_gives_the_reasons_that_it_has(ran: Night) -> None:
    row = listed(ran)[USER]
    assert row["recommender"] == ran.recommender
    assert [item["rank"] for item in row["items"]] == list(range(1, nights.N + 1))
    of_model = [item for item in row["items"] if item["source"] == ran.recommender]
    assert of_model
    assert all(bool(item["because"]) == models.ALL[ran.recommender].has_exact_reasons for item in of_model)


def test_show_prints_the_list_of_a_user(ran: Night) -> None:
    done = command(readme_line(".venv/bin/recsys-spark show"), ran.settings)
    assert done.returncode == 0, done.stderr
    assert f"Recommended to {USER} on {FIRST}" in done.stdout
    assert all(item["item_id"] in done.stdout for item in listed(ran)[USER]["items"])


def test_metrics_prints_each_recommender_alone(ran: Night) -> None:
    done = command(readme_line(".venv/bin/recsys-spark metrics"), ran.settings)
    assert done.returncode == 0, done.stderr
    names = {ran.recommender, models.POPULARITY}
    if ran.recommender == models.BLEND:
        names |= {"transitions", "ease"}
    measured = ran.lake.read_rows(tables.METRICS, FIRST)["recommender"].unique().to_pylist()
    assert names <= set(measured)
    assert all(name[:12] in done.stdout for name in names), done.stdout


def test_rollback_makes_the_night_live_again(ran: Night) -> None:
    rows = [
        {name: value for name, value in row.items() if name != "run_date"} for row in listed(ran).values()
    ]
    ran.lake.write_rows(tables.RECOMMENDATIONS, SECOND, rows)
    assert max(ran.lake.dates(tables.RECOMMENDATIONS)) == SECOND
    assert "`recsys-spark rollback --to DATE`" in README
    done = command(f"recsys-spark rollback --to {FIRST} --config my_settings.yaml", ran.settings)
    assert (done.returncode, done.stdout) == (0, f"live: {FIRST}; dropped: {SECOND}\n"), done.stderr
    assert max(ran.lake.dates(tables.RECOMMENDATIONS)) == FIRST


def test_vacuum_leaves_what_readers_see(ran: Night) -> None:
    before = nights.content(ran.settings.parent / "lake")
    assert "`recsys-spark vacuum`" in README
    done = command("recsys-spark vacuum --config my_settings.yaml", ran.settings)
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        table.name for table in tables.ALL
    ]
    assert nights.content(ran.settings.parent / "lake") == before


def test_the_snippets_read_the_live_lists(ran: Night) -> None:
    root, lists = str(ran.settings.parent / "lake"), listed(ran)
    assert sorted(snippet("polars", root)["live"]["user_id"].to_list()) == sorted(lists)
    assert sorted(snippet("pandas", root)["live"]["user_id"]) == sorted(lists)
    places = snippet("DuckDB", root)["live"].fetchall()
    assert len(places) == sum(len(row["items"]) for row in lists.values())


def test_no_command_of_the_readme_is_left_out() -> None:
    run_here = {"nightly", "show", "metrics", "rollback", "vacuum"}
    assert set(re.findall(r"recsys-spark ([a-z]+)\b(?=[ `])", README)) <= run_here
