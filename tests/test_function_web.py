"""Addresses of pictures: those that are never connected to, whatever they are dressed as, and those that are fetched.

The listener is a real one on loopback, on the very port that the function would go to; the resolver is a seam, so that
a name can stand for any address; nothing else is replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import function
from fixtures_function import Endpoint, context, event
from function import Function, Refused, Web
from test_function import JPEG

PUBLIC, PUBLIC6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
NAMES = {
    "dogs.example": [PUBLIC],
    "dogs6.example": [PUBLIC6],
    "both.example": [PUBLIC, "127.0.0.1"],
    "home.example": ["127.0.0.1"],
    "home6.example": ["::1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data.ec2.internal": ["169.254.169.254"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "sixtofour.example": ["2002:7f00:1::"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "vpc.example": ["172.31.0.10"],
    "nowhere.example": [],
}
LITERAL = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0177.0.0.1", "017700000001",
    "127.0.0.1.", "127.0.0.2", "127.255.255.254", "0", "0.0.0.0", "00000000000.1",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]",
    "[2001:db8::1]", "[fe80::1]", "[fec0::1]", "[fc00::1]", "[ff02::1]", "[5f00::1]", "[100::1]",
    "169.254.169.254", "169.254.170.2", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "100.64.0.1", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255",
    "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "localhost", "LOCALHOST", "localhost.", "ⓛocalhost",
]  # fmt: skip
"""Hosts that are no public ones."""
DRESSED = [
    "http://dogs.example@127.0.0.1/", "http://127.0.0.1@dogs.example/", "http://dogs.example:80@127.0.0.1/",
    "http://user:secret@dogs.example/", "http://@127.0.0.1/", "http://dogs.example\\@127.0.0.1/",
    "http://127.0.0.1\\.dogs.example/", "http://127.0.0.1 .dogs.example/", "http://127.0.0.1\t/", " http://127.0.0.1/",
    "http://dogs.example/\r\nHost: 127.0.0.1", "http://dogs.example/\0", "http://%31%32%37.0.0.1/",
    "http://127.0.0.1%00.dogs.example/", "http://127.0.0.1%2f.dogs.example/", "http://dogs.example%2f@127.0.0.1/",
    "http://[::1%25lo]/", "http://[fe80::1%25lo]/", "http://[::1", "http://::1/", "http://[v1.x]/", "http://[]/",
    "http://dogs.example:22/", "http://dogs.example:8080/", "http://dogs.example:65536/", "http://dogs.example:-1/",
    "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next", "https://dogs.example:80/x:1",
    "gopher://127.0.0.1/_GET", "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://127.0.0.1/dog.jpg",
    "dict://127.0.0.1/x", "ldap://127.0.0.1/", "jar:http://127.0.0.1!/", "data:image/png;base64,AAAA",
    "javascript:alert(1)", "s3://bucket/dog.jpg", "S3://bucket/dog.jpg", "//127.0.0.1/", "127.0.0.1", "/etc/passwd", "",
    "http:", "http://", "http:///", "http:127.0.0.1", "http:/127.0.0.1/", "http://./", "http://..../", "http://?x",
    f"http://{'a' * 300}.example/", f"http://dogs.example/{'a' * 3000}", "http://\ud800.example/", "http://xn--.example/",
    "https://dogs.example/\ud800.jpg", "https://dogs.example/?\udfff",
    *(f"http://{name}/" for name, found in NAMES.items() if found not in ([PUBLIC], [PUBLIC6])),
]  # fmt: skip
"""Addresses whose form is a trick, or whose name stands for what is not public."""
HOSTILE = [*(f"http://{host}/" for host in LITERAL), *DRESSED]


class Listener:
    """Accepts on one port of loopback, IPv4 and IPv6, and counts: it may never be touched."""

    def __init__(self) -> None:
        first = socket.create_server(("127.0.0.1", 0))
        self.port: int = first.getsockname()[1]
        self._sockets = [first, socket.create_server(("127.0.0.2", self.port))]
        with contextlib.suppress(OSError):  # a machine without IPv6
            self._sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        self.touched = 0
        for each in self._sockets:
            threading.Thread(target=self._accept, args=(each,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = listening.accept()
                self.touched += 1
                connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xd8\xff")
                connected.close()

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    """The function's ports are this one's while it is there."""
    made = Listener()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(function, "PORTS", {"https": made.port, "http": made.port})
        yield made
    made.close()


def resolve(host: str, port: int) -> list[str]:
    """The names of these tests, and the system's resolver for literals, as it reads them all."""
    if host in NAMES:
        return NAMES[host]
    if host != "localhost" and host.strip("0123456789abcdefx.:"):
        raise socket.gaierror(f"{host} is unknown")
    return function.resolve(host, port)


def until(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def loopback_only(address: str, port: int, seconds: float) -> socket.socket:
    """Real connections, but not to the internet."""
    if address in (PUBLIC, PUBLIC6):
        raise ConnectionRefusedError
    return function.dial(address, port, seconds)


class TestHostileAddresses:
    def test_the_table_is_long_enough(self) -> None:
        assert len(set(HOSTILE)) == len(HOSTILE) >= 40

    @pytest.mark.parametrize("url", HOSTILE)
    def test_none_is_connected_to(self, url: str, listener: Listener) -> None:
        with pytest.raises(Refused) as refused:
            Web(resolve, loopback_only).get(url, 1000, until(), allow_http=True)
        assert refused.value.status in (400, 422)
        assert listener.touched == 0

    def test_the_listener_would_have_been_touched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same code, told that loopback is public: so the table above does prove something."""
        made = Listener()
        monkeypatch.setattr(function, "PORTS", {"https": made.port, "http": made.port})
        monkeypatch.setattr(function, "is_public", lambda address: True)
        for host in ("127.0.0.1", "0x7f.1", "2130706433", "localhost", "home.example"):
            Web(resolve).get(f"http://{host}/", 1000, until(), allow_http=True)
        assert made.touched == 5
        made.close()

    def test_a_name_that_changes_its_address_is_asked_once_and_connected_to_as_it_was_checked(
        self, listener: Listener
    ) -> None:
        answers, dialled = iter([[PUBLIC], ["127.0.0.1"]]), []

        def dial(address: str, port: int, seconds: float) -> socket.socket:
            dialled.append(address)
            return loopback_only(address, port, seconds)

        with pytest.raises(Refused):
            Web(lambda host, port: next(answers), dial).get("http://rebind.example/", 1000, until(), allow_http=True)
        assert dialled == [PUBLIC]
        assert listener.touched == 0

    def test_all_of_a_names_addresses_have_to_be_public(self) -> None:
        with pytest.raises(Refused, match="not public"):
            Web(resolve, loopback_only).get("https://both.example/", 1000, until())

    @pytest.mark.parametrize("url", ["http://dogs.example/", "s3://bucket/key", "http://127.0.0.1/"])
    def test_http_is_a_setting(self, url: str) -> None:
        with pytest.raises(Refused, match="only https addresses are fetched"):
            Web(resolve, loopback_only).get(url, 1000, until())

    def test_nothing_is_told_of_what_was_resolved(
        self, endpoint: Endpoint, listener: Listener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ALLOW_HTTP", "true")
        settings = function.settings_of(os.environ)
        answering = Function(settings, None, Web(resolve, loopback_only), b"", lambda: None)
        for url in HOSTILE:
            for given in ({"url": url}, event("url", json.dumps({"url": url}))):
                answer = answering(given, context())
                assert answer["statusCode"] in (400, 422)
                assert "169.254" not in answer["body"].replace(url, "")
        assert listener.touched == 0
        assert endpoint.asked == []


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC6, "8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "2a00:1450::1"])
def test_public_addresses_are_public(address: str) -> None:
    assert function.is_public(address)


@pytest.mark.parametrize(
    "address", ["", "dogs.example", "127.1", "0x7f.1", "fe80::1%lo", "2606:4700::1%eth0", "::ffff:8.8.8.8", "1.2.3"]
)
def test_what_is_no_plain_public_address_is_not(address: str) -> None:
    assert not function.is_public(address)


Script = Callable[[socket.socket], None]


class Site:
    """A public web site, by way of a dial that leads its address to loopback. script: what it does on a connection."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._listening, self._tls = socket.create_server(("127.0.0.1", 0)), tls
        self.script: Script = lambda connected: None
        self.asked: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def answers(self, *pieces: bytes, pause: float = 0.0) -> None:
        def script(connected: socket.socket) -> None:
            self.asked.append(connected.recv(65536))
            for each in pieces:
                connected.sendall(each)
                time.sleep(pause)

        self.script = script

    def moves_to(self, *urls: str) -> None:
        """Each request is sent on to the next of these; the last one stays."""
        left = list(urls)

        def script(connected: socket.socket) -> None:
            self.asked.append(connected.recv(65536))
            to = left.pop(0) if len(left) > 1 else left[0]
            connected.sendall(b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % to.encode())

        self.script = script

    def dial(self, address: str, port: int, seconds: float) -> socket.socket:
        if address not in (PUBLIC, PUBLIC6):
            return function.dial(address, port, seconds)
        return socket.create_connection(self._listening.getsockname(), seconds)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listening.accept()
                threading.Thread(target=self._run, args=(connected,), daemon=True).start()

    def _run(self, connected: socket.socket) -> None:
        with contextlib.suppress(OSError), connected:
            wrapped = self._tls.wrap_socket(connected, server_side=True) if self._tls else connected
            with wrapped:
                self.script(wrapped)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def plain() -> Iterator[Site]:
    made = Site(None)
    yield made
    made.close()


def certificate(folder: Path, *hosts: str) -> Path:
    """One that is its own authority, with its key, in a file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / f"{hosts[0]}.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"), "dogs.example", "dogs6.example")


@pytest.fixture
def site(pem: Path) -> Iterator[Site]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    made = Site(tls)
    yield made
    made.close()


@pytest.fixture
def web(site: Site, pem: Path) -> Web:
    return Web(resolve, site.dial, lambda: ssl.create_default_context(cafile=str(pem)))


def ok(body: bytes, *headers: str) -> bytes:
    lines = [f"Content-Length: {len(body)}", *headers]
    return b"HTTP/1.1 200 OK\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + body


CHUNKED, CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1f4\r\n" + b"x" * 500 + b"\r\n"


class TestFetching:
    def test_a_picture_comes_by_https_and_the_request_is_a_plain_one(self, web: Web, site: Site) -> None:
        site.answers(ok(JPEG, "Connection: close"))
        for host in ("dogs.example", "dogs6.example"):
            assert web.get(f"https://{host}/a dog.jpg".replace(" ", "%20") + "?size=1&x=%2f", 10**6, until()) == (
                JPEG, host,
            )  # fmt: skip
        lines = site.asked[0].decode().split("\r\n")
        assert lines[0] == "GET /a%20dog.jpg?size=1&x=%2f HTTP/1.1"
        assert f"Host: dogs.example:{function.PORTS['https']}" not in lines
        assert "Host: dogs.example" in lines
        assert "Accept-Encoding: identity" in lines
        assert not any(line.lower().startswith(("cookie", "authorization", "referer")) for line in lines)

    def test_letters_of_other_languages_are_encoded(self, web: Web, site: Site) -> None:
        site.answers(ok(JPEG))
        web.get("https://dogs.example/hündin.jpg#part", 10**6, until())
        assert site.asked[0].startswith(b"GET /h%C3%BCndin.jpg HTTP/1.1")

    def test_the_whole_way_ends_with_a_prediction(
        self, web: Web, site: Site, endpoint: Endpoint, client: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        site.answers(ok(JPEG))
        answering = Function(function.settings_of(os.environ), client, web, b"", lambda: None)
        answer = answering({"url": "https://dogs.example/dog.jpg?token=secret"}, context())
        assert answer["statusCode"] == 200
        assert "fetch;dur=" in answer["headers"]["Server-Timing"]
        assert endpoint.asked[0][2] == JPEG
        line = capsys.readouterr().out
        assert "secret" not in line.replace("secret-name", "")
        assert json.loads(line)["host"] == "dogs.example"

    def test_a_redirect_is_followed_where_it_leads_to_a_public_address(self, web: Web, site: Site) -> None:
        left = [b"HTTP/1.1 301 Moved\r\nLocation: /other.jpg\r\n\r\n", ok(JPEG)]

        def script(connected: socket.socket) -> None:
            site.asked.append(connected.recv(65536))
            connected.sendall(left.pop(0))

        site.script = script
        assert web.get("https://dogs.example/dog.jpg", 10**6, until()) == (JPEG, "dogs.example")
        assert site.asked[1].startswith(b"GET /other.jpg ")

    @pytest.mark.parametrize("url", [each for each in HOSTILE if each.isascii() and each.isprintable() and each])
    def test_a_redirect_to_a_hostile_address_is_not(self, url: str, plain: Site, listener: Listener) -> None:
        plain.moves_to(url)
        with pytest.raises(Refused):
            Web(resolve, plain.dial).get("http://dogs.example/dog.jpg", 1000, until(), allow_http=True)
        assert listener.touched == 0

    def test_a_redirect_to_http_is_not_followed(self, web: Web, site: Site) -> None:
        site.moves_to("http://dogs.example/dog.jpg")
        with pytest.raises(Refused, match="only https"):
            web.get("https://dogs.example/", 1000, until())

    def test_redirects_end(self, web: Web, site: Site) -> None:
        site.moves_to("https://dogs.example/again")
        with pytest.raises(Refused, match="from one to the next without end"):
            web.get("https://dogs.example/", 1000, until())
        assert len(site.asked) == function.REDIRECTS + 1

    @pytest.mark.parametrize(
        ("pieces", "status", "message"),
        [
            ([ok(b"x" * 1001)], 413, "the picture has more"),
            ([b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 5000], 413, "the picture has more"),
            ([CHUNKED, CHUNK[:-2]], 422, "no picture comes from"),
            ([CHUNKED, CHUNK * 9], 413, "the picture has more"),
            ([b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b"x" * 400], 422, "no picture comes from"),
            ([b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"x" * 5000], 413, "the picture has more"),
            ([ok(b"x", "Content-Encoding: gzip")], 422, "dogs.example sends the picture packed"),
            ([b"HTTP/1.1 404 Not Found\r\n\r\n"], 422, "dogs.example answered 404"),
            ([b"HTTP/1.1 206 Partial\r\n\r\n"], 422, "dogs.example answered 206"),
            ([b"HTTP/1.1 302 Found\r\n\r\n"], 422, "dogs.example answered 302"),
            ([b"garbage\r\n\r\n"], 422, "no picture comes from"),
            ([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"], 422, "no picture comes from"),
            ([b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000], 422, "no picture comes from"),
            ([b""], 422, "no picture comes from"),
        ],
    )  # fmt: skip
    def test_bodies_that_are_not_as_they_should_be(
        self, pieces: list[bytes], status: int, message: str, web: Web, site: Site
    ) -> None:
        site.answers(*pieces)
        with pytest.raises(Refused, match=message) as refused:
            function.kind_of(web.get("https://dogs.example/", 1000, until())[0], 1000)
        assert refused.value.status == status

    def test_what_comes_is_looked_at_whatever_it_is_called(self, web: Web, site: Site, endpoint: Endpoint) -> None:
        site.answers(ok(b"<html>", "Content-Type: image/jpeg"))
        answering = Function(function.settings_of(os.environ), None, web, b"", lambda: None)
        answer = answering({"url": "https://dogs.example/"}, context())
        assert (answer["statusCode"], json.loads(answer["body"])["error"]) == (422, "that is not a picture")

    @pytest.mark.parametrize("trickle", ["header", "body", "handshake"])
    def test_a_trickle_ends_when_the_time_is_over(self, trickle: str, web: Web, site: Site, plain: Site) -> None:
        over = threading.Event()

        def drip(connected: socket.socket) -> None:
            if trickle == "body":
                connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not over.wait(0.03):
                connected.sendall(b"H" if trickle == "header" else b"x")

        def silent(connected: socket.socket) -> None:
            over.wait(5)

        site.script, plain.script = drip, silent
        if trickle == "handshake":
            web = Web(resolve, plain.dial)
        began = time.monotonic()
        with pytest.raises(Refused, match="did not answer in time"):
            web.get("https://dogs.example/", 10_000, until(0.4))
        over.set()
        assert time.monotonic() - began < 1.5

    def test_a_resolver_that_does_not_answer_is_given_up(self) -> None:
        over = threading.Event()

        def slowly(host: str, port: int) -> list[str]:
            over.wait(5)
            return [PUBLIC]

        with pytest.raises(Refused, match="did not answer in time"):
            Web(slowly, loopback_only).get("https://dogs.example/", 1000, until(0.2))
        over.set()

    def test_the_second_address_is_tried_where_the_first_one_is_dead(self, site: Site, pem: Path) -> None:
        site.answers(ok(JPEG))

        def dial(address: str, port: int, seconds: float) -> socket.socket:
            if address == PUBLIC6:
                raise OSError("no route to host")
            return site.dial(address, port, seconds)

        web = Web(lambda host, port: [PUBLIC6, PUBLIC], dial, lambda: ssl.create_default_context(cafile=str(pem)))
        assert web.get("https://dogs.example/", 10**6, until())[0] == JPEG

    def test_a_certificate_of_another_host_or_of_nobody_is_refused(self, site: Site, pem: Path) -> None:
        site.answers(ok(JPEG))
        elsewhere = Web(lambda h, p: [PUBLIC], site.dial, lambda: ssl.create_default_context(cafile=str(pem)))
        for web, host in ((elsewhere, "cats.example"), (Web(resolve, site.dial), "dogs.example")):
            with pytest.raises(Refused, match=f"no picture comes from {host}"):
                web.get(f"https://{host}/", 10**6, until())
        assert site.asked == []


class TestTheBucket:
    def test_pictures_come_from_the_bucket_that_a_setting_names_and_from_no_other(
        self, endpoint: Endpoint, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        monkeypatch.setenv("S3_BUCKET", "kennel-pictures")
        monkeypatch.setenv("MAX_BYTES", "100000")
        s3 = function.client("s3")
        for name in ("kennel-pictures", "other"):
            s3.create_bucket(Bucket=name)
            s3.put_object(Bucket=name, Key="a/dog 1.jpg", Body=JPEG)
        s3.put_object(Bucket="kennel-pictures", Key="large", Body=bytes(200_000))
        answering = Function(function.settings_of(os.environ), client, Web(), b"", lambda: s3)
        expected = {
            "s3://kennel-pictures/a/dog 1.jpg": 200,
            "s3://kennel-pictures/none": 422,
            "s3://kennel-pictures/\ud800": 400,
            "s3://kennel-pictures/large": 413,
            "s3://kennel-pictures/": 400,
            "s3://other/a/dog 1.jpg": 400,
            "s3://kennel-pictures@other/a/dog 1.jpg": 400,
        }
        found = {url: answering({"url": url}, context())["statusCode"] for url in expected}
        server.stop()
        assert found == expected
