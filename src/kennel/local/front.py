"""One function and its page at one address, before an endpoint that is elsewhere: what Compose runs beside it.

`python -m kennel.local.front FOLDER HANDLER ENDPOINT`: the files in FOLDER are deployed by Lambda's own operations, as
on AWS with provisioned concurrency and a function URL, which is served at `/` of port 8080. The function's own client
finds InvokeEndpoint at port 8081 of loopback, which leads to the server at ENDPOINT. Of AWS there is nothing else here:
log lines are printed, whoever signs is let in. Variables KENNEL_FUNCTION_… are the function's, without that beginning.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from kennel.errors import KennelError, ServerError, Stopped, stop_on_signals
from kennel.local.call import Environ
from kennel.local.clock import WallClock
from kennel.local.door import Door
from kennel.local.errors import Refused
from kennel.local.functions import Functions
from kennel.local.hosting.elsewhere import Elsewhere
from kennel.local.parts import Changes, House, Reply
from kennel.local.runners import Choice
from kennel.local.within import StoredObject

log = logging.getLogger("kennel.front")

ACCOUNT, REGION, NAME, ALIAS = "123456789012", "us-east-1", "function", "live"
PORT, API_PORT = 8080, 8081
INSTANCES = 2
"""That are ready before anybody asks; more come as they are needed."""
SECONDS, MEMORY_MB = 30, 512
VARIABLES = "KENNEL_FUNCTION_"
ACTIVE_SECONDS = 60
THREADS = 32
MOST_BODY = 16 * 2**20
HEALTH = "/_kennel/health"


def main() -> int:
    """0 when it was stopped, 2 when it could not start."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    log.setLevel(logging.INFO)
    folder, handler, endpoint = sys.argv[1:]
    stop_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="front-") as home:
            host = os.environ.get("KENNEL_HOST", "127.0.0.1")
            serve(Path(home), Path(folder), handler, endpoint, (host, PORT), API_PORT)
    except Stopped:
        return 0
    except (KennelError, Refused) as error:
        log.error("%s", error)
        return 2
    return 0


def serve(
    home: Path,
    folder: Path,
    handler: str,
    endpoint: str,
    place: tuple[str, int],
    api_port: int,
) -> None:
    """Until a signal comes. place: host and port of the page. Raises KennelError, Refused."""
    with ExitStack() as held:
        page, api = (held.enter_context(closing(_listening(*each))) for each in (place, ("127.0.0.1", api_port)))
        ports = page.getsockname()[1], api.getsockname()[1]
        house = _house(home, f"http://127.0.0.1:{ports[1]}", held)
        functions = Functions(house)
        behind = Elsewhere(house, endpoint)
        held.callback(_end, house, functions)
        held.callback(behind.close)
        functions.resume()
        health = _Health(functions)
        door = Door(REGION, {}, behind, _Nothing(), _Nothing(), health, [functions])
        server = _server(_Sockets(door, ports[0], lambda: health.identity), [page, api])
        held.callback(server.close)
        threading.Thread(target=server.run, name="front", daemon=True).start()
        health.identity = deployed(functions, folder, handler)
        log.info("the page is on port %d, before %s", ports[0], endpoint)
        threading.Event().wait()  # the signal is raised here, in the main thread


def deployed(functions: Functions, folder: Path, handler: str) -> str:
    """The function's URL's identity. Raises Refused, KennelError."""
    do, name = functions.rest_operations(), {"FunctionName": NAME}
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = {key.removeprefix(VARIABLES): value for key, value in os.environ.items() if key.startswith(VARIABLES)}
    settings = {"Runtime": runtime, "Timeout": SECONDS, "MemorySize": MEMORY_MB, "Environment": {"Variables": own}}
    role = f"arn:aws:iam::{ACCOUNT}:role/{NAME}"
    do["CreateFunction"]({**name, **settings, "Role": role, "Handler": handler, "Code": {"ZipFile": packed(folder)}})
    _wait_until_active(lambda: do["GetFunctionConfiguration"](name)["State"])
    do["CreateAlias"]({**name, "Name": ALIAS, "FunctionVersion": do["PublishVersion"](name)["Version"]})
    live = {**name, "Qualifier": ALIAS}
    do["PutProvisionedConcurrencyConfig"]({**live, "ProvisionedConcurrentExecutions": INSTANCES})
    everybody = {**live, "Principal": "*"}
    url = {"StatementId": "url", "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"}
    invoke = {"StatementId": "invoke", "Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True}
    for permission in (url, invoke):
        do["AddPermission"](everybody | permission)
    return str(do["CreateFunctionUrlConfig"]({**live, "AuthType": "NONE"})["FunctionUrl"]).split("/")[-2]


def packed(folder: Path) -> bytes:
    """The files below a folder as a deployment package. Raises KennelError."""
    paths = [each for each in sorted(folder.rglob("*")) if each.is_file() and "__pycache__" not in each.parts]
    if not paths:
        raise ServerError(f"there are no files of a function in {folder}", "Mount the folder `lambda` there")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def _wait_until_active(state: Callable[[], str]) -> None:
    until = time.monotonic() + ACTIVE_SECONDS
    while state() != "Active":
        if time.monotonic() > until:
            raise ServerError("the function did not become active", "Look at the lines above")
        time.sleep(0.02)


def _house(home: Path, url: str, held: ExitStack) -> House:
    runners, nothing = held.enter_context(closing(Choice("process", home))), _Nothing()
    return House(
        account=ACCOUNT,
        region=REGION,
        home=home,
        url=url,
        clock=WallClock(),
        objects=_NoObjects(),
        logs=nothing,
        cloudwatch=nothing,
        roles=nothing,
        runners=runners,
        changes=Changes(),
        tags=nothing,
        closing=threading.Event(),
        programs=runners,
        sessions=nothing,
    )


def _end(house: House, functions: Functions) -> None:
    house.closing.set()
    functions.close()


def _listening(host: str, port: int) -> socket.socket:
    """Raises ServerError."""
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as error:
        raise ServerError(
            f"port {port} of {host} cannot be had ({error.strerror})", "End what listens there"
        ) from error


def _server(app: Any, listening: Sequence[socket.socket]) -> Any:
    from waitress import create_server

    return create_server(
        app,
        sockets=list(listening),
        threads=THREADS,
        max_request_body_size=MOST_BODY,
        asyncore_use_poll=True,
        ident=None,
    )


class _Sockets:
    """The WSGI application. What comes to the page's port goes to the function's URL."""

    def __init__(self, door: Door, page: int, identity: Callable[[], str]) -> None:
        self._door, self._page, self._identity = door, str(page), identity

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ["SERVER_PORT"] == self._page:
            below = f"/_url/{self._identity() or '-'}"
            environ["REQUEST_URI"] = below + str(environ.get("REQUEST_URI") or environ["PATH_INFO"])
            environ["PATH_INFO"] = below + environ["PATH_INFO"]
        return self._door(environ, start_response)


class _Health:
    """Whether the function's instances are there. identity: of its URL; "" until it has one."""

    def __init__(self, functions: Functions) -> None:
        self._functions, self.identity = functions, ""

    def __call__(self, method: str, target: str) -> Reply:
        if target.split("?")[0] != HEALTH or not self.identity:
            return Reply(503 if not self.identity else 404, {}, b"")
        get = self._functions.rest_operations()["GetProvisionedConcurrencyConfig"]
        found = get({"FunctionName": NAME, "Qualifier": ALIAS})
        return Reply(200 if found["Status"] == "READY" else 503, {}, found["Status"].encode())


class _NoObjects:
    """Stands for S3."""

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        return ()

    def get(self, bucket: str, key: str) -> StoredObject:
        raise Refused("NoSuchBucket", "The specified bucket does not exist", 404)

    def put(self, bucket: str, key: str, source: Path) -> None:
        self.get(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        self.get(bucket, key)


class _Nothing:
    """Stands for the other services that are not here."""

    def put(self, *given: Any) -> None:
        """Metrics are not kept."""

    def write(self, group: str, stream: str, lines: Sequence[tuple[float, str]]) -> None:
        with contextlib.suppress(OSError):
            print(*(text for _, text in lines), sep="\n", flush=True)

    def has(self, group: str, stream: str = "") -> bool:
        return True

    def check_assumable(self, role_arn: str, principal: str, source_arn: str = "") -> None:
        """Every role is."""

    def keys(self, role_arn: str, session: str) -> Mapping[str, str]:
        return {"AWS_ACCESS_KEY_ID": "front", "AWS_SECRET_ACCESS_KEY": "front", "AWS_SESSION_TOKEN": "front"}

    def add(self, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
        """Nothing here has tags."""

    def of(self, arn: str) -> list[dict[str, str]]:
        return []

    def remove(self, arn: str) -> None:
        """Nothing here has tags."""

    def answer(self, call: Any) -> Reply:
        raise Refused("UnknownOperationException", "There is only a function and its endpoint here")

    def stream(self, call: Any) -> None:
        """No object is."""


if __name__ == "__main__":
    sys.exit(main())
