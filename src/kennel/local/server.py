"""The local AWS as one server in the foreground: its parts put together, started, and ended in order."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from kennel.errors import ServerError, Stopped
from kennel.local.alarms import AlarmStore
from kennel.local.clock import WallClock
from kennel.local.door import Door
from kennel.local.errors import Refused
from kennel.local.gatekeeper import Actors, CallLog, Gatekeeper, Things
from kennel.local.home import State, alone, announced, credentials
from kennel.local.machines.book import InstanceBook
from kennel.local.moto_side import ACCOUNT, Moto
from kennel.local.objects import ObjectStore
from kennel.local.page import Interrupt, Page
from kennel.local.parts import (
    Changes,
    Clock,
    House,
    Interruptible,
    Invocations,
    JsonService,
    Machinery,
    Operation,
    Reply,
    RestService,
    Service,
)
from kennel.local.roles import RoleBook
from kennel.local.runners import Choice, Setting
from kennel.local.tags import Tagging, TagStore
from kennel.local.telemetry import LogStore, MetricStore
from kennel.local.wire import create_server

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from kennel.local.hosting import Limits as HostingLimits

Assembly = Callable[[House], Sequence[Service]]
BACKLOG = 512
"""Connections that may wait to be taken."""


def assemble(house: House, concurrency: int = 10, limits: HostingLimits | None = None) -> list[Service]:
    """SageMaker's parts, Application Auto Scaling, Lambda, machines, and what tells their images.

    concurrency: executions of functions at a time. limits: of hosting.
    """
    from kennel.local.functions import Functions, Limits
    from kennel.local.hosting import Hosting
    from kennel.local.machines import Machines
    from kennel.local.parameters import Parameters
    from kennel.local.scaling import Scaling
    from kennel.local.training import TrainingJobs
    from kennel.local.tuning import TuningJobs

    training, hosting = TrainingJobs(house), Hosting(house, limits)
    scaling = [Scaling(house, hosting, house.monitoring)] if house.monitoring else []
    machines = [Machines(house, house.instances)] if house.instances else []
    functions = Functions(house, Limits(concurrency))
    return [training, TuningJobs(house, training), *scaling, hosting, functions, *machines, Parameters(house)]


def serve(
    home: Path,
    port: int,
    region: str,
    runner: str,
    ready: Callable[[str], None],
    services: Assembly = assemble,
    clock: Clock | None = None,
) -> int:
    """Serve until a signal comes (see errors.stop_on_signals, which the entry point calls); the exit code.

    port: 0 takes a free one. ready: told the address when it answers. Raises ServerError.
    """
    home = home.expanduser().absolute()
    try:
        with alone(home), _listening(port) as listening, ExitStack() as held:
            house, door = _furnished(home, _url(listening), region, runner, clock or WallClock(), services, held)
            server = create_server(door, listening)
            held.callback(server.close)
            threading.Thread(target=server.run, name="door", daemon=True).start()
            held.enter_context(announced(home, _state(house)))
            ready(house.url)
            threading.Event().wait()  # the signal is raised here, in the main thread
    except Stopped as stopped:
        log.info("%s", stopped)
    return 0


@dataclass(frozen=True, slots=True)
class _Kept:
    """What holds the state of moto's services."""

    moto: Moto
    objects: ObjectStore
    logs: LogStore
    metrics: MetricStore
    instances: InstanceBook
    changes: Changes


def _furnished(
    home: Path, url: str, region: str, runner: str, clock: Clock, services: Assembly, held: ExitStack
) -> tuple[House, Door]:
    """The house with its services at work. held: what to close when the server ends, the last first."""
    kept = _kept(home, region, held)
    runners = held.enter_context(closing(Choice(_setting(runner), home)))
    changes = kept.changes
    tags = TagStore(home / "tags", changes)
    things = Things(kept.moto, region, tags)
    gate = Gatekeeper(
        kept.moto, credentials(home), region, held.enter_context(closing(CallLog(home / "gatekeeper"))), things
    )
    alarms = AlarmStore(home / "alarms", kept.moto, kept.metrics, region, changes)
    alarms.load()
    roles = RoleBook(kept.moto, region, gate.trusts)
    house = House(
        account=ACCOUNT,
        region=region,
        home=home,
        url=url,
        clock=clock,
        objects=kept.objects,
        logs=kept.logs,
        cloudwatch=kept.metrics,
        roles=roles,
        runners=runners,
        changes=changes,
        tags=tags,
        closing=threading.Event(),
        programs=runners,
        sessions=roles,
        monitoring=alarms,
        instances=kept.instances,
        actors=Actors(gate),
    )
    there = [*services(house), Tagging(house, tags)]
    held.callback(_close, house, there)
    for service in there:
        service.resume()
    operations: dict[str, Operation] = {}
    for service in there:
        operations |= service.operations()
    rest = [each for each in there if isinstance(each, RestService)]
    json = [each for each in there if isinstance(each, JsonService)]
    shown = {name: each for service in rest for name, each in service.rest_operations().items()} | operations
    shown |= {name: each for service in json for name, each in service.json_operations().items()}
    theirs = {each.service: each.rest_operations() for each in rest}
    things.know({"sagemaker": operations, **theirs, **{each.service: each.json_operations() for each in json}})
    machinery = next((each for each in there if isinstance(each, Machinery)), None)
    page = Page(house, shown, kept.logs.last_lines, _interrupt(there, machinery), gate.calls.text, machinery)
    return house, Door(region, operations, _invocations(there), kept.moto, kept.objects, page, rest, json, gate)


def _kept(home: Path, region: str, held: ExitStack) -> _Kept:
    folder = home / "moto"
    moto = Moto(folder)
    objects, changes = ObjectStore(home / "s3", moto), Changes()
    logs, metrics = LogStore(folder / "logs", moto, region), MetricStore(folder, moto, region)
    kept = _Kept(moto, objects, logs, metrics, InstanceBook(home / "machines", moto, region, changes), changes)
    for each in (kept.moto, kept.objects, kept.logs, kept.metrics):
        held.callback(each.close)
    moto.start()
    return kept


def _close(house: House, services: Sequence[Service]) -> None:
    """All at once: each may have to wait for what it ends."""
    house.closing.set()
    house.changes.tell()
    threads = [threading.Thread(target=each.close, name="closing") for each in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _invocations(services: Sequence[Service]) -> Invocations:
    return next((each for each in services if isinstance(each, Invocations)), _NoEndpoints())


def _interrupt(services: Sequence[Service], machinery: Machinery | None) -> Interrupt:
    """Of a machine, by its id, or of a job, by its name."""
    of_job = next((each.interrupt for each in services if isinstance(each, Interruptible)), _nothing_to_interrupt)

    def interrupt(name: str) -> None:
        if machinery is not None and machinery.interrupt_machine(name):
            return
        if name.startswith("i-"):
            raise Refused("ValidationException", f"there is no machine {name}")
        of_job(name)

    return interrupt


def _nothing_to_interrupt(name: str) -> None:
    raise Refused("ValidationException", "Requested resource not found.")


class _NoEndpoints:
    def invoke(self, name: str, headers: Any, body: bytes) -> Reply:
        raise Refused("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")


def _setting(runner: str) -> Setting:
    """Raises ServerError."""
    for each in get_args(Setting):
        if each == runner:
            found: Setting = each
            return found
    raise ServerError(f"there is no runner {runner}", f"Choose one of {', '.join(get_args(Setting))}")


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """On loopback only. Raises ServerError where the port is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerError(
                f"port {port} of 127.0.0.1 cannot be had ({error.strerror})",
                "Name another with --port, or set local.port in kennel.toml; 0 takes a free one",
            ) from error
        made.listen(BACKLOG)
        yield made


def _url(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


def _state(house: House) -> State:
    import os

    return State(os.getpid(), house.url, house.region, house.account, *credentials(house.home))
