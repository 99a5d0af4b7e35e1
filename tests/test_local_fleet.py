"""Instances of functions in the local AWS where starts fail and changes meet: what no client can bring about."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fixtures_lambda import Lambda, connected, role_in, zipped
from kennel.errors import SettingError
from kennel.local.background import stop
from kennel.local.functions.book import Book, Target
from kennel.local.functions.code import CodeStore
from kennel.local.functions.control import Control
from kennel.local.functions.fleet import Fleet
from kennel.local.functions.instance import Instance, Site
from kennel.local.functions.limits import Limits
from kennel.local.functions.names import Ref
from kennel.local.functions.provision import Provision
from kennel.local.functions.requests import new_document
from kennel.local.functions.runtime_api import VERSION, RuntimeApi
from kennel.local.home import state
from kennel.local.hosting.elsewhere import Elsewhere
from kennel.local.parts import Changes, Document, House
from kennel.settings import parse

HURRIED = """
import sys
from pathlib import Path
from kennel.errors import stop_on_signals
from kennel.local.functions import Functions, Limits
from kennel.local.server import serve

def services(house):
    return [Functions(house, Limits(init_s=0.2))]

stop_on_signals()
serve(Path(sys.argv[1]), 0, "us-east-1", "process", lambda url: print(url, flush=True), services)
"""


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lambda]:
    """A local AWS that gives code outside the handler 0.2 s, and then the function's own timeout."""
    home = tmp_path_factory.mktemp("hurried")
    with subprocess.Popen([sys.executable, "-c", HURRIED, str(home)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        found = state(home)
        assert found is not None
        environment = found.environment()
        yield Lambda(connected(environment, "lambda"), role_in(environment), home)
        stop(home)


class TestStarts:
    def test_code_that_starts_too_slowly_is_too_slow_again(self, hurried: Lambda) -> None:
        slow = "import time\ntime.sleep(1.5)\ndef handler(event, context): return 'ok'"
        hurried.create("slow", {"app.py": slow}, Timeout=1)
        assert [hurried.invoke("slow")["errorType"] for _ in range(2)] == ["Sandbox.Timedout"] * 2

    def test_code_that_fails_at_its_start_fails_alike_each_time(self, hurried: Lambda) -> None:
        hurried.create("broken", {"app.py": "raise ValueError('no start')"}, Timeout=20)
        assert [hurried.invoke("broken")["errorType"] for _ in range(4)] == ["ValueError"] * 4


class Still:
    """An instance that does nothing, and is ready when it may be."""

    alive = True

    def __init__(self, target: Target, may: threading.Event) -> None:
        self.target, self._may = target, may

    def initialise(self, seconds: float) -> bool:
        return self._may.wait(seconds)

    def pump(self) -> None:
        """It prints nothing."""

    def end(self) -> None:
        """Nothing runs."""


def target(version: str) -> Target:
    return Target("f", "live", version, {"RevisionId": version})


def settled(provision: Provision, changes: Changes, status: str) -> None:
    seen = 0
    while provision.standing().status != status:
        seen = changes.wait(seen, 0.05)


def test_what_still_answers_for_the_version_before_is_not_ready_for_the_next() -> None:
    changes, may = Changes(), {"1": threading.Event(), "2": threading.Event()}

    def make(wanted: Target, provisioned: bool) -> Instance:
        return cast(Instance, Still(wanted, may[wanted.version]))

    provision = Provision(make, Limits(provisioned_init_s=20), changes, "f")
    may["1"].set()
    provision.want([target("1")], again=False)
    settled(provision, changes, "READY")
    busy = provision.take(target("1"))
    assert busy is not None
    provision.want([target("2")], again=False)
    found = provision.standing()
    assert (found.requested, found.allocated, found.status) == (1, 0, "IN_PROGRESS")
    may["2"].set()
    settled(provision, changes, "READY")
    provision.give(busy)
    assert provision.standing().allocated == 1
    provision.end()


@pytest.fixture
def house(tmp_path: Path) -> House:
    """As much of one as a function's document needs."""
    roles = SimpleNamespace(check_assumable=lambda role, principal, source: None)
    clock, changes = SimpleNamespace(now=lambda: 0.0), Changes()
    made = SimpleNamespace(home=tmp_path, changes=changes, roles=roles, clock=clock, account="123456789012")
    made.region = "us-east-1"
    made.arn = lambda resource, service="sagemaker": f"arn:aws:{service}:us-east-1:123456789012:{resource}"
    return cast(House, made)


class Held(Book):
    """Whoever reads first is held up with what there was."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.reads, self.go = threading.Event(), threading.Event()

    def all(self) -> list[Document]:
        found = super().all()
        if not self.reads.is_set():
            self.reads.set()
            assert self.go.wait(20)
        return found


def test_of_two_changes_at_once_the_later_one_stays(house: House) -> None:
    book, limits = Held(house), Limits(provisioned_init_s=20)
    site = cast(Site, SimpleNamespace(house=house, limits=limits))
    may = threading.Event()
    may.set()
    fleet = Fleet(site, book, lambda site, wanted, provisioned: cast(Instance, Still(wanted, may)))
    document = new_document("f", {"RevisionId": "1"}, {})
    book.add(document | {"Versions": {"1": {"RevisionId": "1"}}})
    first, second = (threading.Thread(target=fleet.changed, args=("f",), daemon=True) for _ in range(2))
    first.start()
    assert book.reads.wait(20)
    book.change(Ref("f", ""), lambda held: held["Provisioned"].update({"1": {"Requested": 1}}))
    assert fleet.standing("f", "1").status == "IN_PROGRESS"  # not READY before it is begun
    second.start()
    second.join(0.3)  # it must not overtake
    book.go.set()
    for each in (first, second):
        each.join(20)
    assert fleet._provisions.keys() == {("f", "1")}
    book.remove("f")
    fleet.changed("f")


class Watched(CodeStore):
    """While a package is unpacked, somebody reads the book."""

    reads: Callable[[], Any] = staticmethod(lambda: None)
    free: list[bool]

    def add(self, package: bytes) -> str:
        reading = threading.Thread(target=self.reads, daemon=True)
        reading.start()
        reading.join(2)
        self.free = [*getattr(self, "free", []), not reading.is_alive()]
        return super().add(package)


def test_functions_are_read_while_a_package_is_unpacked(house: House, tmp_path: Path) -> None:
    book, code = Book(house), Watched(tmp_path / "code")
    code.reads = book.all
    changed = threading.Event()
    operations = Control(house, book, code, lambda name: changed.set()).operations()
    role = "arn:aws:iam::123456789012:role/r"
    asked = {"FunctionName": "f", "Runtime": "python3.11", "Handler": "app.handler", "Role": role}
    operations["CreateFunction"](asked | {"Code": {"ZipFile": zipped()}})
    assert changed.wait(20)
    changed.clear()
    operations["UpdateFunctionCode"]({"FunctionName": "f", "ZipFile": zipped({"app.py": "1"})})
    assert changed.wait(20)
    assert code.free == [True, True]


def test_a_body_of_less_than_nothing_is_none() -> None:
    api = RuntimeApi()
    with socket.create_connection(api.address.split(":"), 5) as asking:  # type: ignore[arg-type]
        head = f"POST {VERSION}/init/error HTTP/1.1\r\nHost: {api.address}\r\nContent-Length: -1\r\n\r\n"
        asking.sendall(head.encode())
        assert asking.recv(100).startswith(b"HTTP/1.1 202")
    assert api.init_error == b""
    api.close()


def test_a_look_at_a_container_elsewhere_that_fails_is_not_the_last(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, again, looks = Elsewhere(house, "http://127.0.0.1:9"), threading.Event(), list[int]()

    def ping(seconds: float) -> bool:
        looks.append(1)
        if len(looks) == 1:
            raise ValueError("no address")
        again.set()
        return False

    monkeypatch.setattr(elsewhere._instance, "ping", ping)
    assert again.wait(20)
    elsewhere.close()
    assert "the endpoint's container" in caplog.text


def test_the_local_aws_has_threads_for_as_many_executions_as_it_may_be_set_to() -> None:
    assert parse({"local": {"concurrency": 100}}).local.concurrency == 100
    with pytest.raises(SettingError):
        parse({"local": {"concurrency": 101}})
