"""The console script: `recsys-spark nightly`, each job by name, and looking at what a night made."""

from __future__ import annotations

import ast
import datetime as dt
import importlib
import importlib.resources
from typing import TYPE_CHECKING, Annotated

import typer

from recsys_spark import cli, night, tables
from recsys_spark.cli import Day, Options, Overlays
from recsys_spark.errors import MissingInputError, RecsysError
from recsys_spark.session import session

if TYPE_CHECKING:
    from recsys_spark.lake import Lake

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A nightly recommender for a data lake. Exit statuses stand in the README.",
)


@app.command()
def nightly(
    date: Day,
    config: Overlays = None,
    set: Options = None,
    until: Annotated[
        dt.datetime | None,
        typer.Option("--until", formats=["%Y-%m-%d"], help="Catch up: every night from --date to this one."),
    ] = None,
    submit_each: Annotated[bool, typer.Option("--submit-each", help="One spark-submit a job.")] = False,
    json: Annotated[
        str | None, typer.Option("--json", help="Also write the last night's JSON to this file.")
    ] = None,
) -> None:
    """Run the whole night of one date; the last line of standard output is its JSON."""
    day, last, status = date.date(), (until or date).date(), 0
    if last < day:
        raise typer.BadParameter(f"--until {last} is before --date {day}")
    settings = cli.load_or_exit(config or (), set or ())
    while day <= last and status == 0:
        runner = (
            night.submit_each(settings, day, config or (), set or ())
            if submit_each
            else night.in_one_session(settings, day)
        )
        result = night.run(settings, day, runner)
        night.to_json(result, json)
        status, day = result["exit_status"], day + dt.timedelta(days=1)
    raise typer.Exit(status)


def _add_job(name: str) -> None:
    def command(date: Day, config: Overlays = None, set: Options = None) -> None:
        settings = cli.load_or_exit(config or (), set or ())
        module = importlib.import_module(f"recsys_spark.jobs.{name}")
        outcome = cli.execute(name, module.run, settings, date.date(), lambda: session(settings, name))
        raise typer.Exit(outcome.exit_status)

    command.__doc__ = f"\b\n{_about(name)}"
    app.command(name.replace("_", "-"), rich_help_panel="Jobs, in the order of the night")(command)


def _about(job: str) -> str:
    """The job's docstring, read without running its imports."""
    source = importlib.resources.files("recsys_spark.jobs").joinpath(f"{job}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


for _name in night.JOBS:
    _add_job(_name)


def _lake(config: list[str] | None, set: list[str] | None) -> Lake:
    from recsys_spark.lake import Lake

    try:
        return Lake(cli.load_or_exit(config or (), set or ()).lake.root)
    except RecsysError as error:
        cli.fail(error)


def _live(lake: Lake) -> dt.date:
    nights = lake.dates(tables.RECOMMENDATIONS)
    if not nights:
        raise MissingInputError("table recommendations: no night has gone live in this lake")
    return max(nights)


@app.command()
def show(
    user: Annotated[str, typer.Argument(help="A user id as it stands in the lake.")],
    config: Overlays = None,
    set: Options = None,
    date: Annotated[
        dt.datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="Run date; left out: the live one."),
    ] = None,
) -> None:
    """Show a user's recommendations with titles, next to what the user did last."""
    from recsys_spark import arrow_alone
    from recsys_spark.reports import grid, terminal

    arrow_alone.enforce()
    lake = _lake(config, set)
    try:
        day = date.date() if date else _live(lake)
        lake.files(tables.RECOMMENDATIONS, day)  # refuses a date that has none
        items = lake.read_rows(tables.ITEM_FEATURES, day, cut="night")
        listed = terminal.live_list(lake.read_rows(tables.RECOMMENDATIONS, day), items, user)
        done = terminal.recent_history(
            lake.read_rows(tables.HISTORIES, day, cut="night"),
            lake.read_rows(tables.USER_FEATURES, day, cut="night"),
            items,
            user,
            len(listed),
        )
    except RecsysError as error:
        cli.fail(error)
    grid.show(f"What {user} did last, the newest first", done)
    grid.show(f"Recommended to {user} on {day}", listed)


@app.command()
def metrics(
    config: Overlays = None,
    set: Options = None,
    nights: Annotated[int, typer.Option(help="How many nights back.")] = 5,
) -> None:
    """Show the metrics of the last nights beside popularity's, with the interval of each gate figure."""
    from recsys_spark.lake import Lake
    from recsys_spark.ranking import metric_table
    from recsys_spark.reports import grid, terminal

    settings = cli.load_or_exit(config or (), set or ())
    names = metric_table.names_shown()
    try:
        lake = Lake(settings.lake.root)
        rows = terminal.last_metrics(lake.read_rows(tables.METRICS), nights, names, settings.publish.k)
        trainings = terminal.last_trainings(lake.read_rows(tables.MODELS), nights)
    except RecsysError as error:
        cli.fail(error)
    for row in rows:
        low, high = row.pop(f"{settings.publish.metric}_ci")
        interval = "" if low is None else f"{low:.4f} to {high:.4f}"
        row[f"{settings.publish.metric}, 95 %"] = interval
        for name in names:
            row.pop(f"{name}_ci", None)
    grid.show(f"Metrics at {settings.publish.k}, last {nights} nights", rows)
    grid.show(f"Training of the judged model, last {nights} trainings", trainings)


@app.command()
def rollback(
    to: Annotated[
        dt.datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="This night's lists go live.")
    ],
    config: Overlays = None,
    set: Options = None,
) -> None:
    """Make an earlier night's lists live again by dropping the newer ones, in one commit."""
    lake = _lake(config, set)
    try:
        lake.files(tables.RECOMMENDATIONS, to.date())  # refuses a date that has none
        dropped = lake.rollback(tables.RECOMMENDATIONS, to.date())
    except RecsysError as error:
        cli.fail(error)
    typer.echo(f"live: {to.date()}; dropped: {', '.join(map(str, dropped)) or 'none'}")


@app.command()
def vacuum(
    config: Overlays = None,
    set: Options = None,
    retention_hours: Annotated[int, typer.Option(help="Keep what the versions of these hours name.")] = 168,
) -> None:
    """Delete files that no version within the retention names, left-overs of dead runs included."""
    lake = _lake(config, set)
    try:
        for table in tables.ALL:
            typer.echo(f"{table.name}: {lake.vacuum(table, retention_hours)} files deleted")
    except RecsysError as error:
        cli.fail(error)


def main() -> None:
    """Run the command line."""
    app()
