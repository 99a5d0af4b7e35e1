"""Getting a data set: over HTTP from a server that misbehaves, from hostile archives, from folders."""

import hashlib
import io
import json
import os
import random
import re
import socket
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kennel.errors import DataError
from kennel.pictures.dataset import split_folders
from kennel.pictures.fetch import MARKER, Limits, fetch

BIG = 300_000
"""Bytes of the one large file: several reads of a socket, so that a download can break off in it."""


def files(seed: int = 0) -> dict[str, bytes]:
    """A data set's files, as the Udacity archive lays them out; random, so that they do not compress."""
    draw = random.Random(seed)
    names = [f"dogImages/{split}/001.Affenpinscher/{split}_1.jpg" for split in ("valid", "test")]
    small = {name: draw.randbytes(500) for name in names}
    return {"dogImages/train/001.Affenpinscher/train_1.jpg": draw.randbytes(BIG), **small}


def packed(content: dict[str, bytes], change: Callable[[zipfile.ZipFile], None] | None = None) -> bytes:
    """A zip; `change` may add to it, or lie in its directory, which is written afterwards."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        if change:
            change(archive)
    return buffer.getvalue()


@dataclass
class Site:
    """What the server serves and how it misbehaves; the requests it got."""

    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    drops: list[int] = field(default_factory=list)
    """For each request in turn, after how many bytes the connection is cut."""
    statuses: list[int] = field(default_factory=list)
    """For each request in turn, an error to answer."""
    ranges: bool = True
    conditions: bool = True
    """False: If-Range is ignored, ranges are served from whatever the content is."""
    said: int | None = None
    """Content-Length of a whole answer, when it is not the truth."""
    length: bool = True
    seen: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def spans(self) -> list[str | None]:
        return [each.get("range") for each in self.seen]

    def start_of(self, request: dict[str, str]) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", request.get("range", ""))
        stale = self.conditions and request.get("if-range") not in self.headers.values()
        return 0 if wanted is None or stale or not self.ranges else int(wanted[1])


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        request = {name.lower(): value for name, value in self.headers.items()}
        site.seen.append(request)
        if site.statuses:
            self.answer(site.statuses.pop(0), {}, b"")
            return
        start = site.start_of(request)
        if start > 0 and start >= len(site.content):
            self.answer(416, {}, b"")
            return
        body, headers = site.content[start:], dict(site.headers)
        if site.length:
            headers["Content-Length"] = str(len(body) if start or site.said is None else site.said)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(site.content) - 1}/{len(site.content)}"
        self.answer(206 if start else 200, headers, body[: site.drops.pop(0)] if site.drops else body)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Quiet."""


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site(packed(files()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_port}/dogImages.zip"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "place" / "dogs"


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "given.zip"
        path.write_bytes(content)
        return path

    return write


def get(destination: Path, source: str | Path, limits: Limits | None = None) -> bool:
    """`fetch`, waiting for nothing."""
    return fetch(destination, source, limits=limits or Limits(), wait=lambda seconds: None)


def tree(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != MARKER}


def stripped(content: dict[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix("dogImages/"): data for name, data in content.items()}


def beside(destination: Path) -> list[str]:
    """What lies beside the destination, and is not the destination."""
    return sorted(path.name for path in destination.parent.iterdir() if path != destination)


def refused(destination: Path, source: str | Path, words: str, limits: Limits | None = None) -> DataError:
    with pytest.raises(DataError, match=words) as caught:
        get(destination, source, limits)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    assert not destination.exists()
    assert not destination.with_name("dogs.unpacking").exists()
    return caught.value


def test_an_archive_becomes_the_data_set_without_its_top_folder(site: Site, destination: Path) -> None:
    assert get(destination, site.url) is True
    assert tree(destination) == stripped(files())
    assert set(split_folders(destination)) == {"train", "valid", "test"}
    assert json.loads((destination / MARKER).read_text()) == {"source": site.url}
    assert beside(destination) == []


def test_fetching_twice_is_fetching_once(site: Site, destination: Path) -> None:
    assert get(destination, site.url) is True
    assert get(destination, site.url) is False
    assert len(site.seen) == 1


def test_progress_tells_the_bytes_of_both_steps(site: Site, destination: Path) -> None:
    told: list[tuple[str, int, int]] = []
    fetch(destination, site.url, lambda step, done, total: told.append((step, done, total)))
    for step, size in (("download", len(site.content)), ("unpack", sum(map(len, files().values())))):
        done = [each[1] for each in told if each[0] == step]
        assert done == sorted(done)
        assert (done[0], done[-1]) == (0, size)
        assert {each[2] for each in told if each[0] == step} == {size}


def test_a_dropped_connection_is_continued_where_it_broke(site: Site, destination: Path) -> None:
    site.drops = [100_000, 50_000]
    waits: list[float] = []
    fetch(destination, site.url, wait=waits.append)
    assert tree(destination) == stripped(files())
    assert site.spans == [None, "bytes=100000-", "bytes=150000-"]
    assert [each.get("if-range") for each in site.seen] == [None, '"one"', '"one"']
    assert waits == [1, 2]


def test_a_download_that_keeps_breaking_off_ends_and_is_continued_by_the_next_call(
    site: Site, destination: Path
) -> None:
    site.drops = [1000] * 4
    error = refused(destination, site.url, "broke off at 4,000 bytes")
    assert "--from" in error.remedy
    assert get(destination, site.url)
    assert site.spans[-1] == "bytes=4000-"
    assert tree(destination) == stripped(files())


def test_tries_are_counted_anew_while_the_download_grows(site: Site, destination: Path) -> None:
    content = {**files(), "dogImages/large.bin": random.Random(1).randbytes(9_000_000)}
    site.content, site.drops = packed(content), [1_500_000] * 6
    assert get(destination, site.url, Limits(tries=2))
    assert len(site.seen) == 7


def test_ctrl_c_leaves_a_download_that_continues(site: Site, destination: Path) -> None:
    def interrupt(step: str, done: int, total: int) -> None:
        if done > 150_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(destination, site.url, interrupt)
    kept = destination.with_name("dogs.part").stat().st_size
    assert 150_000 < kept < len(site.content)
    assert not destination.exists()
    assert get(destination, site.url)
    assert site.spans == [None, f"bytes={kept}-"]


def test_ctrl_c_while_unpacking_keeps_the_download_and_leaves_nothing_half(site: Site, destination: Path) -> None:
    def interrupt(step: str, done: int, total: int) -> None:
        if step == "unpack" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(destination, site.url, interrupt)
    assert beside(destination) == ["dogs.part", "dogs.part.json"]
    assert get(destination, site.url)
    assert len(site.seen) == 1


def test_a_server_without_ranges_is_asked_for_all_of_it_again(site: Site, destination: Path) -> None:
    site.ranges, site.drops = False, [100_000]
    assert get(destination, site.url)
    assert tree(destination) == stripped(files())
    assert len(site.seen) == 2


def test_a_server_without_validators_is_never_continued(site: Site, destination: Path) -> None:
    site.headers, site.drops = {}, [100_000]
    assert get(destination, site.url)
    assert site.spans == [None, None]


def test_a_weak_tag_is_no_validator_but_the_date_is(site: Site, destination: Path) -> None:
    date = "Tue, 01 Jan 2019 00:00:00 GMT"
    site.headers, site.drops = {"ETag": 'W/"one"', "Last-Modified": date}, [100_000]
    assert get(destination, site.url)
    assert site.seen[1]["if-range"] == date
    assert site.spans == [None, "bytes=100000-"]


@pytest.mark.parametrize("conditions", [True, False], ids=["If-Range known", "If-Range ignored"])
def test_a_changed_archive_is_got_from_its_beginning(site: Site, destination: Path, conditions: bool) -> None:
    site.drops = [100_000]
    with pytest.raises(DataError):
        get(destination, site.url, Limits(tries=1))
    site.content, site.headers, site.conditions = packed(files(seed=7)), {"ETag": '"two"'}, conditions
    assert get(destination, site.url)
    assert tree(destination) == stripped(files(seed=7))


def test_a_partial_download_of_another_address_is_not_continued(site: Site, destination: Path) -> None:
    site.drops = [100_000]
    with pytest.raises(DataError):
        get(destination, site.url, Limits(tries=1))
    assert get(destination, site.url.replace("dogImages", "cats"))
    assert site.spans == [None, None]


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 1}', "null"])
def test_a_partial_download_with_an_unreadable_note_is_started_anew(site: Site, destination: Path, note: str) -> None:
    destination.parent.mkdir()
    destination.with_name("dogs.part").write_bytes(b"x" * 100)
    destination.with_name("dogs.part.json").write_text(note)
    assert get(destination, site.url)
    assert site.spans == [None]


def test_an_archive_that_shrank_meanwhile_is_got_anew(site: Site, destination: Path) -> None:
    site.drops, site.conditions = [250_000], False
    with pytest.raises(DataError):
        get(destination, site.url, Limits(tries=1))
    site.content = packed({name: data[:500] for name, data in files().items()})
    assert get(destination, site.url)
    assert site.spans == [None, "bytes=250000-", None]


def test_a_server_that_promises_more_than_it_sends_is_not_believed(site: Site, destination: Path) -> None:
    site.said, site.ranges = len(site.content) + 100, False
    refused(destination, site.url, "broke off at")
    assert len(site.seen) == 4


def test_a_server_that_promises_less_than_it_has_gives_a_damaged_archive_which_is_removed(
    site: Site, destination: Path
) -> None:
    site.said = len(site.content) - 100
    error = refused(destination, site.url, "damaged or no zip archive")
    assert "--from" in error.remedy
    assert beside(destination) == []


def test_an_answer_of_unknown_length_is_taken_and_bounded(site: Site, destination: Path) -> None:
    site.length = False
    refused(destination, site.url, "more than the 200,000|0.2 MB allowed", Limits(download=200_000))
    assert beside(destination) == []
    assert get(destination, site.url)
    assert tree(destination) == stripped(files())


def test_a_download_larger_than_allowed_is_refused_before_its_first_byte(site: Site, destination: Path) -> None:
    refused(destination, site.url, "more than the 1,000 bytes allowed", Limits(download=1000))
    assert beside(destination) == []


def test_an_address_that_is_not_there_is_an_error_at_once(site: Site, destination: Path) -> None:
    site.statuses = [404]
    assert "--from" in refused(destination, site.url, "answers 404").remedy
    assert len(site.seen) == 1


def test_a_busy_server_is_asked_again(site: Site, destination: Path) -> None:
    site.statuses = [503, 429]
    assert get(destination, site.url)
    assert len(site.seen) == 3


def test_a_server_that_stays_busy_ends_it(site: Site, destination: Path) -> None:
    site.statuses = [503] * 9
    refused(destination, site.url, "answers 503")
    assert len(site.seen) == 4


def test_no_network_is_said_at_once_and_the_remedy_is_from(destination: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    waits: list[float] = []
    with pytest.raises(DataError, match="no network") as caught:
        fetch(destination, f"http://127.0.0.1:{port}/dogImages.zip", wait=waits.append)
    assert "--from" in caught.value.remedy
    assert waits == []


@pytest.mark.parametrize("address", ["http://[", "http://", "http://127.0.0.1:99999/x.zip"])
def test_an_address_that_is_none_is_an_error(destination: Path, address: str) -> None:
    refused(destination, address, "no address|cannot be got|cannot be reached")


def test_secrets_in_an_address_are_in_no_message_and_no_file(site: Site, destination: Path) -> None:
    secret = site.url.replace("http://", "http://user:hunter2@") + "?Signature=hunter2"
    site.drops = [1000]
    with pytest.raises(DataError) as caught:
        get(destination, secret, Limits(tries=1))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in destination.with_name("dogs.part.json").read_text()
    assert get(destination, secret)
    assert "hunter2" not in (destination / MARKER).read_text()
    assert get(destination, secret) is False


def test_a_damaged_download_is_removed_and_got_anew(site: Site, destination: Path) -> None:
    good = site.content
    at = good.index(files()["dogImages/valid/001.Affenpinscher/valid_1.jpg"])
    site.content = good[:at] + b"damage" + good[at + 6 :]
    refused(destination, site.url, "damaged .*CRC")
    assert beside(destination) == []
    site.content = good
    assert get(destination, site.url)


def test_a_download_needs_room_for_itself_and_what_is_unpacked(site: Site, destination: Path) -> None:
    needed = 2 * len(site.content)
    with pytest.raises(DataError, match=r"0\.5 MB free, 0\.6 MB are needed") as caught:
        fetch(destination, site.url, free=lambda folder: 500_000)
    assert "room" in caught.value.remedy
    assert not destination.with_name("dogs.part").exists()
    assert fetch(destination, site.url, free=lambda folder: needed)


def test_unpacking_needs_room(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    archive = zipped(packed(files()))
    with pytest.raises(DataError, match="10 bytes free"):
        fetch(destination, archive, free=lambda folder: 10)
    assert beside(destination) == []


def test_a_zip_file_is_unpacked_and_kept(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    archive = zipped(packed(files()))
    before = archive.read_bytes()
    assert get(destination, archive) is True
    assert get(destination, str(archive)) is False
    assert tree(destination) == stripped(files())
    assert archive.read_bytes() == before


def test_archives_with_no_top_folder_or_several_end_with_the_splits_on_top(
    destination: Path, zipped: Callable[[bytes], Path]
) -> None:
    for prefix in ("", "a/b/c/", "./"):
        content = {prefix + name: data for name, data in stripped(files()).items()}
        assert get(destination / f"for-{len(prefix)}", zipped(packed(content)))
        assert tree(destination / f"for-{len(prefix)}") == stripped(files())


def test_what_macos_adds_is_left_out(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    junk = ("__MACOSX/dogImages/train/._x.jpg", "dogImages/.DS_Store", "dogImages/train/.DS_Store", "dogImages/._train")
    assert get(destination, zipped(packed({**files(), **dict.fromkeys(junk, b"junk")})))
    assert tree(destination) == stripped(files())


def test_modes_are_not_taken_over(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    def executable(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("dogImages/run.sh")
        info.external_attr = (stat.S_IFREG | stat.S_ISUID | 0o777) << 16
        archive.writestr(info, "echo")

    assert get(destination, zipped(packed(files(), executable)))
    assert stat.S_IMODE((destination / "run.sh").stat().st_mode) & 0o7111 == 0


def test_what_a_crash_left_is_cleaned(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    left = destination.with_name("dogs.unpacking") / "train"
    left.mkdir(parents=True)
    (left / "half.jpg").write_bytes(b"half")
    assert get(destination, zipped(packed(files())))
    assert tree(destination) == stripped(files())
    assert beside(destination) == []


@pytest.mark.parametrize(
    "name",
    [
        "../out.jpg",
        "dogImages/../../out.jpg",
        "/etc/out.jpg",
        "train\\..\\out.jpg",
        "C:/out.jpg",
        "a//b.jpg",
        "a\nb.jpg",
    ],
)
def test_a_member_that_would_leave_the_folder_is_refused(
    destination: Path, zipped: Callable[[bytes], Path], name: str
) -> None:
    refused(destination, zipped(packed({**files(), name: b"out"})), "unsafe path")
    assert not any(destination.parent.parent.rglob("out.jpg"))


def test_a_name_with_a_nul_is_refused(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    archive = packed({**files(), "train/0.jpg.exe": b""}).replace(b"train/0.jpg.exe", b"train/0.jpg\0exe")
    refused(destination, zipped(archive), "unsafe path")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(destination: Path, zipped: Callable[[bytes], Path], kind: int) -> None:
    def add(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("dogImages/train/link.jpg")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")

    refused(destination, zipped(packed(files(), add)), "link or special file")


@pytest.mark.parametrize("right_sum", [True, False])
def test_a_bomb_that_lies_about_its_size_writes_no_more_than_declared(
    destination: Path, zipped: Callable[[bytes], Path], right_sum: bool
) -> None:
    def add(archive: zipfile.ZipFile) -> None:
        archive.writestr("dogImages/train/bomb.jpg", bytes(5_000_000), zipfile.ZIP_DEFLATED)
        archive.filelist[-1].file_size = 10
        if right_sum:
            archive.filelist[-1].CRC = zlib.crc32(bytes(10))

    written: list[int] = []
    with pytest.raises(DataError, match=r"damaged|not as large as declared"):
        fetch(destination, zipped(packed(files(), add)), lambda step, done, total: written.append(done))
    assert max(written) <= sum(map(len, files().values())) + 10
    assert beside(destination) == []


def test_a_member_smaller_than_declared_is_refused(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    def lie(archive: zipfile.ZipFile) -> None:
        archive.filelist[-1].file_size += 10

    refused(destination, zipped(packed(files(), lie)), "not as large as declared")


def test_a_member_one_byte_larger_than_declared_with_a_fitting_sum_is_refused(
    destination: Path, zipped: Callable[[bytes], Path]
) -> None:
    def lie(archive: zipfile.ZipFile) -> None:
        archive.filelist[-1].file_size -= 1

    refused(destination, zipped(packed(files(), lie)), "not as large as declared")


def test_more_than_allowed_is_refused_before_anything_is_written(
    destination: Path, zipped: Callable[[bytes], Path]
) -> None:
    archive = zipped(packed(files()))
    refused(destination, archive, "holds 3 files, more than the 2 allowed", Limits(members=2))
    refused(destination, archive, "more than the 1,000 bytes allowed", Limits(unpacked=1000))
    assert get(destination, archive, Limits(members=3))


def test_an_encrypted_archive_is_refused(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    def encrypt(archive: zipfile.ZipFile) -> None:
        archive.filelist[-1].flag_bits |= 0x1

    refused(destination, zipped(packed(files(), encrypt)), r"given\.zip is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_bound_on_memory_are_refused(
    destination: Path, zipped: Callable[[bytes], Path], method: int
) -> None:
    def add(archive: zipfile.ZipFile) -> None:
        archive.writestr("dogImages/x.jpg", bytes(1000), method)

    refused(destination, zipped(packed(files(), add)), "neither stored nor deflated")


@pytest.mark.parametrize("extra", ["dogImages/train", "dogImages/valid/001.Affenpinscher/valid_1.jpg"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(destination: Path, zipped: Callable[[bytes], Path], extra: str) -> None:
    refused(destination, zipped(packed(files(), lambda archive: archive.writestr(extra, b"x"))), "two members")


@pytest.mark.parametrize("keep", [0, 10, 150_000, -1, -30])
def test_a_truncated_archive_is_refused_and_left_alone(
    destination: Path, zipped: Callable[[bytes], Path], keep: int
) -> None:
    archive = zipped(packed(files())[:keep])
    before = hashlib.sha256(archive.read_bytes()).digest()
    refused(destination, archive, "damaged or no zip archive")
    assert hashlib.sha256(archive.read_bytes()).digest() == before


def test_bytes_flipped_anywhere_give_an_error_of_ours_or_the_right_files(
    destination: Path, zipped: Callable[[bytes], Path]
) -> None:
    content = {name: data[:60] for name, data in files().items()}
    good, draw = packed(content), random.Random(3)
    for number in range(200):
        bad, place = bytearray(good), destination / str(number)
        bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        try:
            get(place, zipped(bytes(bad)))
        except DataError:
            assert not place.exists()
        else:
            assert sorted(tree(place).values()) == sorted(content.values())


def test_an_archive_whose_directory_would_fill_the_memory_is_refused(tmp_path: Path, destination: Path) -> None:
    size, archive = 100_000_000, tmp_path / "sparse.zip"
    with archive.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, 0, 0))
    refused(destination, archive, "directory is too large")


def test_what_is_no_zip_is_refused(site: Site, destination: Path, zipped: Callable[[bytes], Path]) -> None:
    refused(destination, zipped(b"<html>not found</html>" * 100), "no zip archive")
    site.content = b"<html>please log in</html>"
    refused(destination, site.url, "no zip archive")
    assert beside(destination) == []


def test_an_archive_that_is_no_data_set_is_refused(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    refused(destination, zipped(packed({"notes/a.txt": b"a", "b.txt": b"b"})), "is no data set")
    part = {name: data for name, data in files().items() if "/test/" not in name}
    refused(destination, zipped(packed(part)), "no data set, it has no test folder")
    refused(destination, zipped(packed({})), "is no data set")


def test_a_folder_is_copied(tmp_path: Path, destination: Path) -> None:
    source = written(tmp_path / "mine", files())
    (source / "dogImages" / ".DS_Store").write_bytes(b"junk")
    told: set[str] = set()
    assert fetch(destination, source, lambda step, done, total: told.add(step)) is True
    assert tree(destination) == stripped(files())
    assert told == {"copy"}
    assert get(destination, source) is False


def test_a_fetched_folder_can_be_fetched_from(tmp_path: Path, destination: Path) -> None:
    first = tmp_path / "first"
    get(first, written(tmp_path / "mine", files()))
    assert get(destination, first)
    assert json.loads((destination / MARKER).read_text()) == {"source": str(first)}


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "train_1.jpg", "nowhere"])
def test_links_in_a_folder_are_refused_rather_than_lost(tmp_path: Path, destination: Path, target: str) -> None:
    source = written(tmp_path / "mine", files())
    (source / "dogImages/train/001.Affenpinscher/link.jpg").symlink_to(target)
    refused(destination, source, "link or special file")


def test_special_files_in_a_folder_are_refused(tmp_path: Path, destination: Path) -> None:
    source = written(tmp_path / "mine", files())
    os.mkfifo(source / "dogImages" / "pipe")
    refused(destination, source, "link or special file")


def test_a_folder_has_the_limits_of_an_archive(tmp_path: Path, destination: Path) -> None:
    source = written(tmp_path / "mine", files())
    refused(destination, source, "more than the 2 allowed", Limits(members=2))
    refused(destination, source, "more than the 1,000 bytes allowed", Limits(unpacked=1000))


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, destination: Path) -> None:
    refused(destination, written(tmp_path / "mine", {"a/b.txt": b""}), "is no data set")


def test_a_destination_inside_its_source_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "mine", files())
    refused(source / "dogs", source, "lie in one another")
    assert tree(source) == files()


def test_a_source_that_is_not_there_is_refused(tmp_path: Path, destination: Path) -> None:
    refused(destination, tmp_path / "nothing.zip", "no file or folder")


def test_what_an_earlier_fetch_left_is_no_source(destination: Path) -> None:
    destination.parent.mkdir()
    destination.with_name("dogs.part").write_bytes(packed(files()))
    refused(destination, destination.with_name("dogs.part"), "what an earlier fetch left")
    assert destination.with_name("dogs.part").exists()


def test_a_destination_that_is_not_ours_is_left_alone(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    archive = zipped(packed(files()))
    destination.mkdir(parents=True)
    (destination / "thesis.txt").write_text("three years")
    with pytest.raises(DataError, match="not fetched by kennel") as caught:
        get(destination, archive)
    assert caught.value.remedy
    assert tree(destination) == {"thesis.txt": b"three years"}


def test_an_empty_destination_is_filled(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    destination.mkdir(parents=True)
    assert get(destination, zipped(packed(files())))
    assert tree(destination) == stripped(files())


def test_a_destination_that_is_a_file_is_refused(destination: Path, zipped: Callable[[bytes], Path]) -> None:
    destination.parent.mkdir()
    destination.write_text("a file")
    with pytest.raises(DataError, match="is a file"):
        get(destination, zipped(packed(files())))


def test_a_destination_from_another_source_is_not_taken_for_this_one(
    site: Site, destination: Path, zipped: Callable[[bytes], Path]
) -> None:
    get(destination, zipped(packed(files())))
    with pytest.raises(DataError, match=r"holds the data set from .*given\.zip"):
        get(destination, site.url)


def test_a_fetched_destination_that_lost_a_split_is_an_error(
    destination: Path, zipped: Callable[[bytes], Path]
) -> None:
    archive = zipped(packed(files()))
    get(destination, archive)
    (destination / "test").rename(destination / "elsewhere")
    with pytest.raises(DataError, match="no test folder"):
        get(destination, archive)


def test_a_destination_behind_a_link_is_filled_where_it_points(tmp_path: Path, zipped: Callable[[bytes], Path]) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "dogs").symlink_to(tmp_path / "disk")
    assert get(tmp_path / "dogs", zipped(packed(files())))
    assert (tmp_path / "dogs").is_symlink()
    assert tree(tmp_path / "disk") == stripped(files())


def written(root: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root
