"""The console script: `recsys-spark nightly`, each job by name, and looking at what a night made."""

from __future__ import annotations

import datetime as dt
import importlib
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from recsys_spark import cli, night, tables
from recsys_spark.cli import Day, Options, Overlays
from recsys_spark.errors import RecsysError
from recsys_spark.lake import Lake
from recsys_spark.ranking import metric_table
from recsys_spark.reports import terminal

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A nightly recommender for a data lake. Exit statuses stand in the README.",
)
output = Console(width=None if sys.stdout.isatty() else 200)


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
    chosen = cli.load_or_exit(config or (), set or ())
    day, last = date.date(), (until or date).date()
    status = 0
    while day <= last and status == 0:
        runner = (
            night.submit_each(chosen, day, config or (), set or ())
            if submit_each
            else night.in_one_session(chosen, day)
        )
        result = night.run(chosen, day, runner)
        night.to_json(result, json)
        status, day = result["exit_status"], day + dt.timedelta(days=1)
    raise typer.Exit(status)


def _add_job(name: str) -> None:
    module = importlib.import_module(f"recsys_spark.jobs.{name}")

    def command(date: Day, config: Overlays = None, set: Options = None) -> None:
        chosen = cli.load_or_exit(config or (), set or ())
        outcome = cli.execute(name, module.run, chosen, date.date(), lambda: cli.session(chosen, name))
        raise typer.Exit(outcome.exit_status)

    command.__doc__ = f"\b\n{module.__doc__}"
    app.command(name.replace("_", "-"), rich_help_panel="Jobs, in the order of the night")(command)


for _name in night.JOBS:
    _add_job(_name)


def _lake(config: list[str] | None, set: list[str] | None) -> Lake:
    try:
        return Lake(cli.load_or_exit(config or (), set or ()).lake.root)
    except RecsysError as error:
        cli.fail(error)
        raise


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
    lake = _lake(config, set)
    try:
        day = date.date() if date else max(lake.dates(tables.RECOMMENDATIONS), default=dt.date.max)
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
    _print(f"What {user} did last, the newest first", done)
    _print(f"Recommended to {user} on {day}", listed)


@app.command()
def metrics(
    config: Overlays = None,
    set: Options = None,
    nights: Annotated[int, typer.Option(help="How many nights back.")] = 5,
) -> None:
    """Show the metrics of the last nights beside popularity's, with the interval of each gate figure."""
    chosen = cli.load_or_exit(config or (), set or ())
    names = metric_table.names_shown()
    try:
        lake = Lake(chosen.lake.root)
        rows = terminal.last_metrics(lake.read_rows(tables.METRICS), nights, names, chosen.publish.k)
        trainings = terminal.last_trainings(lake.read_rows(tables.MODELS), nights)
    except RecsysError as error:
        cli.fail(error)
    for row in rows:
        low, high = row.pop(f"{chosen.publish.metric}_ci")
        interval = "" if low is None else f"{low:.4f} to {high:.4f}"
        row[f"{chosen.publish.metric}, 95 %"] = interval
        for name in names:
            row.pop(f"{name}_ci", None)
    _print(f"Metrics at {chosen.publish.k}, last {nights} nights", rows)
    _print(f"Training of the judged model, last {nights} trainings", trainings)


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
    output.print(f"live: {to.date()}; dropped: {', '.join(map(str, dropped)) or 'none'}")


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
            output.print(f"{table.name}: {lake.vacuum(table, retention_hours)} files deleted")
    except RecsysError as error:
        cli.fail(error)


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    output.print(f"\n{title}" if rows else f"\n{title}: nothing", markup=False)
    names = dict.fromkeys(name for row in rows for name in row if row[name] is not None)
    grid = Grid()
    for name in names:
        is_number = isinstance(rows[0].get(name), (int, float))
        grid.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*map(_text, (row.get(name) for name in names)))
    if rows:
        output.print(grid)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else escape(str(value))


def main() -> None:
    """Run the command line."""
    app()
