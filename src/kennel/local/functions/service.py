"""Lambda as a service of the local AWS: its parts put together."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from kennel.local.functions.book import Book
from kennel.local.functions.code import CodeStore
from kennel.local.functions.concurrency import Concurrency
from kennel.local.functions.control import Control
from kennel.local.functions.fleet import Fleet
from kennel.local.functions.instance import Site
from kennel.local.functions.invoke import Invocations, Invoker
from kennel.local.functions.limits import Limits
from kennel.local.functions.policies import Policies
from kennel.local.functions.recorder import Recorder
from kennel.local.functions.runtime import Runtime
from kennel.local.functions.urls import Front, Urls
from kennel.local.functions.versions import Versions
from kennel.local.parts import House, Operation, Reply, WebRequest


class Functions:
    """Implements parts.Service and parts.RestService."""

    service = "lambda"

    def __init__(self, house: House, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self._folder = house.home / "function-instances"
        self._book, self._code = Book(house), CodeStore(house.home / "function-code")
        self._recorder = Recorder(house)
        runtime = Runtime(house.home / "function-runtime")
        site = Site(house, limits, self._code, runtime, self._recorder, self._folder)
        self._fleet = Fleet(site, self._book)
        self._control = Control(house, self._book, self._code, self._fleet.changed)
        invoker = Invoker(house, self._book, self._fleet)
        self._invocations = Invocations(house, self._book, invoker, limits)
        urls = Urls(house, self._book)
        self._front = Front(house, self._book, urls, invoker, self._code)
        self._operations = {
            **self._control.operations(),
            **Versions(house, self._book, self._fleet.changed).operations(),
            **Concurrency(house, self._book, self._fleet, limits).operations(),
            **Policies(house, self._book).operations(),
            **urls.operations(),
            **self._invocations.operations(),
        }

    def operations(self) -> Mapping[str, Operation]:
        """Nothing of SageMaker's."""
        return {}

    def rest_operations(self) -> Mapping[str, Operation]:
        return self._operations

    def web(self, request: WebRequest) -> Reply | None:
        return self._front(request)

    def resume(self) -> None:
        """Updates that were under way are settled, provisioned concurrency starts, events that waited go on."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._control.forget_code()
        self._recorder.start()
        for document in self._book.all():
            self._control.settle(document["Name"])
        self._fleet.start()
        self._invocations.start()

    def close(self) -> None:
        self._invocations.close()
        self._fleet.close()
        self._invocations.join()
        self._recorder.close()
