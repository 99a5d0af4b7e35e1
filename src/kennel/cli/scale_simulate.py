"""`kennel scale simulate`: what a scaling policy would do with some traffic, before it is switched on."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from kennel import settings as settings_of
from kennel.cli.console import err, out, print_json, progress
from kennel.cli.local import SettingsFile
from kennel.errors import SettingError
from kennel.files import write_atomically
from kennel.settings import Settings

if TYPE_CHECKING:
    from kennel.capacity.scaled import Front, World
    from kennel.capacity.sweep import Case, Setting
    from kennel.capacity.traffic import Trace
    from kennel.reports.scaling import View

EPILOG = """Examples: kennel scale simulate --shape spike --base 10 --peak 200 --for 10m ·
kennel scale simulate --shape day --peak 3000 --hours 24 --measured measured.json --sweep ·
kennel scale simulate --trace requests.csv --service-ms 60 --concurrency 2 --goal-ms 300 --page week.html"""
Shape = Literal["steady", "spike", "day", "ramp", "on-off"]
UNITS = {"": 1.0, "s": 1 / 60, "m": 1.0, "h": 60.0, "d": 1440.0}
TARGETS = "10,25,50,100,200,400,600,800,1000,1200,1500,2000"
COOLDOWNS_OUT = "0,60,180,300,600"
COOLDOWNS_IN = "0,60,300,600,1800"
SERVICE_MS, AT_A_TIME, CV = 60.0, 2, 0.2
FUNCTION_EXECUTIONS = 1000
"""An account's, at first."""
SHOWN = 12
START_S, STOP_S, METRIC_DELAY_S = 300.0, 60.0, 60.0
"""As `kennel.capacity.scaled` has them; a test holds them equal, so that --help needs no numpy."""


def simulate(
    trace_file: Annotated[
        Path | None, typer.Option("--trace", help="CSV or JSON lines: minute,invocations, or timestamps.")
    ] = None,
    shape: Annotated[Shape, typer.Option(help="Where there is no --trace.")] = "spike",
    base: Annotated[float, typer.Option(help="Requests a minute, at rest.")] = 10,
    peak: Annotated[float, typer.Option(help="Requests a minute, at the most.")] = 200,
    start: Annotated[str, typer.Option("--at", help="When a spike or ramp begins: 30m, 2h.")] = "30m",
    length: Annotated[str, typer.Option("--for", help="How long a spike, a ramp or an on-time takes.")] = "10m",
    period: Annotated[str, typer.Option("--every", help="From one on-time to the next.")] = "60m",
    hours: Annotated[float, typer.Option(min=0.02, max=8784, help="Of a shape.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of what comes by chance.")] = 1,
    measured: Annotated[Path | None, typer.Option(help="What kennel scale measure found.")] = None,
    service_ms: Annotated[
        float | None, typer.Option(help=f"Work a request, where not measured; {SERVICE_MS:g}.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help=f"Requests an instance works on at once; {AT_A_TIME}.")
    ] = None,
    cv: Annotated[float | None, typer.Option(help=f"Standard deviation of the work over its mean; {CV:g}.")] = None,
    target: Annotated[
        float | None, typer.Option(help="Invocations per instance and minute; as kennel.toml says.")
    ] = None,
    out_cooldown: Annotated[float | None, typer.Option(help="Seconds; as kennel.toml says.")] = None,
    in_cooldown: Annotated[float | None, typer.Option(help="Seconds; as kennel.toml says.")] = None,
    least: Annotated[int | None, typer.Option("--min", min=1, max=100, help="Instances; as kennel.toml says.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, max=100, help="Instances; as kennel.toml says.")] = None,
    start_s: Annotated[float, typer.Option(help="Until a new instance serves; on AWS minutes.")] = START_S,
    stop_s: Annotated[float, typer.Option(help="What a scale-in takes.")] = STOP_S,
    metric_delay_s: Annotated[float, typer.Option(help="Until the alarms know of a minute.")] = METRIC_DELAY_S,
    function: Annotated[bool, typer.Option(help="Whether the function stands in front, as kennel.toml has it.")] = True,
    executions: Annotated[int | None, typer.Option(help="Of the function at most; 1000, or its reserved ones.")] = None,
    goal_ms: Annotated[float, typer.Option(help="What the goal's percentile shall not exceed.")] = 500,
    goal_percentile: Annotated[float, typer.Option(help="50 to 99.99.")] = 99,
    sweep: Annotated[bool, typer.Option("--sweep", help="Other targets and cooldowns too.")] = False,
    targets: Annotated[str, typer.Option(help="Of a sweep.")] = TARGETS,
    out_cooldowns: Annotated[str, typer.Option(help="Of a sweep, seconds.")] = COOLDOWNS_OUT,
    in_cooldowns: Annotated[str, typer.Option(help="Of a sweep, seconds.")] = COOLDOWNS_IN,
    page: Annotated[Path, typer.Option("--page", help="Where the report goes, one HTML file.")] = Path("scaling.html"),
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures, for machines.")] = False,
) -> None:
    """Simulate a scaling policy on traffic: instances, latencies, failures, cost, minute by minute.

    Decides by the same code as the local AWS's scaling. Nothing is started and nothing asked of AWS; figures are as
    good as the capacity given (measure it: kennel scale measure) and the assumptions on the page.
    """
    from kennel.capacity.outcome import Goal
    from kennel.capacity.scaled import World

    settings = settings_of.load(settings_file)
    service, about = _service(measured, service_ms, concurrency, cv)
    world = World(service, start_s, stop_s, metric_delay_s)
    if function:
        world = replace(world, front=_front(settings, executions))
    bounds = least or settings.scaling.min, most or settings.scaling.max
    if bounds[1] < bounds[0]:
        raise SettingError(f"--max {bounds[1]} is less than --min {bounds[0]}", "Change one of them")
    times = minutes_of(start), minutes_of(length), minutes_of(period), round(hours * 60, 6)
    trace = _trace(trace_file, shape, (base, peak), times, seed)
    own = _setting(settings, target, out_cooldown, in_cooldown)
    goal = Goal(goal_ms / 1000, goal_percentile / 100)
    several = _several(targets, out_cooldowns, in_cooldowns) if sweep else []
    view = _view(settings, trace, world, goal, bounds, own, several, about)
    _write(view, page)
    print_json(_figures(view)) if as_json else _print(view, page)


def minutes_of(text: str) -> float:
    """`10m`, `90s`, `2h`, `1d` or minutes. Raises SettingError."""
    found = re.fullmatch(r"(\d{1,7}(?:\.\d{1,9})?)([smhd]?)", text.strip())
    if not found:
        raise SettingError(f"{text!r} is no length of time", "Write 90s, 10m, 2h or 1d")
    return float(found[1]) * UNITS[found[2]]


def numbers_of(text: str) -> list[float]:
    """`0,60,300`. Raises SettingError."""
    try:
        return [float(each) for each in text.split(",")]
    except ValueError as error:
        raise SettingError(f"{text[:60]!r} is no list of numbers", "Write 0,60,300, say") from error


def _service(measured: Path | None, ms: float | None, at_a_time: int | None, cv: float | None) -> tuple[Any, str]:
    """Capacity, and how it was come by. Raises DataError, SettingError."""
    from kennel.capacity.measured import read
    from kennel.capacity.service import Service

    if measured is None:
        given = (ms, SERVICE_MS), (cv, CV), (at_a_time, AT_A_TIME)
        mean_ms, spread, many = (known if value is None else value for value, known in given)
        return Service.lognormal(mean_ms / 1000, spread, int(many)), "assumed" if ms is None else "given"
    if ms is not None or at_a_time is not None or cv is not None:
        raise SettingError("--measured goes without --service-ms, --concurrency and --cv", "Leave them away")
    found = read(measured)
    return found.service, f"measured of {found.subject.kind} {found.subject.name} on {found.machine.processor}"


def _front(settings: Settings, executions: int | None) -> Front:
    from kennel.capacity.scaled import Front

    asked = settings.function
    most = (asked.reserved or FUNCTION_EXECUTIONS) if executions is None else executions
    return Front(most, asked.provisioned, asked.timeout_s)


def _trace(
    file: Path | None, shape: Shape, rates: tuple[float, float], times: tuple[float, float, float, float], seed: int
) -> Trace:
    """times: start, length, period and all of it, in minutes."""
    from kennel.capacity import traffic

    if file is not None:
        return traffic.read(file)
    return traffic.drawn(traffic.Wanted(shape, *rates, *times[:3], minutes=math.ceil(times[3])), seed)


def _setting(settings: Settings, target: float | None, out: float | None, into: float | None) -> Setting:
    from kennel.capacity.sweep import Setting

    asked = settings.scaling
    given = (target, asked.target), (out, asked.scale_out_cooldown_s), (into, asked.scale_in_cooldown_s)
    return Setting(*(known if value is None else value for value, known in given))


def _several(targets: str, outs: str, ins: str) -> list[Setting]:
    from kennel.capacity.sweep import grid

    return grid(numbers_of(targets), numbers_of(outs), numbers_of(ins))


def _view(
    settings: Settings,
    trace: Trace,
    world: World,
    goal: Any,
    bounds: tuple[int, int],
    own: Setting,
    several: list[Setting],
    about: str,
) -> View:
    from kennel.capacity import sweep
    from kennel.capacity.outcome import Latencies
    from kennel.cloud import prices
    from kennel.reports.scaling import View

    known, kind = prices.load(), settings.endpoint.instance_type
    hourly, latencies = known.hourly(settings.region, kind), Latencies(trace, world, goal)
    case = sweep.simulate(trace, own, bounds, latencies, hourly)
    cases: list[Case] = []
    if several:
        wanted = list(dict.fromkeys([own, *several]))
        with progress().step("settings", len(wanted)) as advance:
            cases = sweep.sweep(trace, wanted, bounds, latencies, hourly, advance)
    others = [(f"always {n}", sweep.simulate(trace, own, (n, n), latencies, hourly)) for n in sorted(set(bounds))]
    price = f"{prices.usd(hourly)} an hour of {kind} in {settings.region}, as of {known.as_of}"
    return View(trace, world, goal, bounds, case, price, about, tuple(others), tuple(cases))


def _write(view: View, page: Path) -> None:
    from kennel.reports import scaling

    write_atomically(page, scaling.page(view).encode())


def _print(view: View, page: Path) -> None:
    from kennel.capacity.sweep import best
    from kennel.reports import scaling

    out.print(scaling.sentences(view), highlight=False)
    table = Table(box=None, padding=(0, 1))
    for name in ("setting", "goal", "cost", "hours", "p50", "p99", "above", "failed", "turns"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("setting", "goal") else "right")
    for number, (kind, shown, name) in enumerate(scaling.table(view)):
        if kind or number < SHOWN:
            table.add_row(*_row(shown, name, view), style="bold" if kind == "own" else None)
    out.print(table)
    err.print("cost: USD; hours: of instances; above: minutes above the goal; turns: within 30 minutes", style="dim")
    if view.cases:
        out.print(scaling.swept(view, best(view.cases, view.goal)), highlight=False)
    for each in scaling.assumptions(view)[:3]:
        err.print(each, style="dim", highlight=False)
    out.print(f"report  {page}", highlight=False)


def _row(case: Case, name: str, view: View) -> tuple[str, ...]:
    from kennel.reports.scaling import ms

    found, cost = case.outcome, "?" if case.cost is None else f"{case.cost:.2f}"
    told = "met" if case.meets(view.goal) else "missed"
    figures = cost, f"{found.instance_hours:.1f}", ms(found.latency[0]), ms(found.latency[2])
    return name, told, *figures, str(found.missed), f"{found.failed_count:,.0f}", str(found.flaps)


def _figures(view: View) -> dict[str, Any]:
    course = view.case.outcome.course
    cases = [_case(each, str(each.setting), view) for each in view.cases]
    cases += [_case(each, name, view) for name, each in view.others]
    minutes = {
        "requests": view.trace.counts.tolist(),
        "instances": course.serving.tolist(),
        "per_instance": _plain(course.metric),
        "p99_s": _plain(view.case.outcome.minute_s[:, 2]),
        "failed": _plain(view.case.outcome.failed),
    }
    return {"asked": _case(view.case, str(view.case.setting), view), "minutes": minutes, "others": cases}


def _case(case: Case, name: str, view: View) -> dict[str, Any]:
    found = case.outcome
    return {
        "setting": name,
        "meets": case.meets(view.goal),
        "usd": case.cost,
        "instance_hours": found.instance_hours,
        "latency_s": dict(zip(("p50", "p95", "p99"), _plain(found.latency), strict=True)),
        "goal_latency_s": _plain([found.goal_latency])[0],
        "minutes_above_goal": found.missed,
        "minutes_to_recover": found.recovery,
        "failed": found.failed_count,
        "turns": found.flaps,
    }


def _plain(values: Any) -> list[float | None]:
    """What JSON has a number for."""
    return [round(float(each), 6) if math.isfinite(each) else None for each in values]
