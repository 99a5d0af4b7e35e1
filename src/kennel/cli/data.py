"""`kennel data …`: fetch, check, pack, draw."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from kennel.cli.console import err, out, print_json, progress
from kennel.errors import DataError
from kennel.files import write_atomically
from kennel.machine import cores
from kennel.progress import Advance, Progress

if TYPE_CHECKING:
    from kennel.pictures.census import Census

app = typer.Typer(
    help="Photographs: fetch the public set, check a folder, pack it, draw a small one.", no_args_is_help=True
)

SHOWN = 10


@app.command(epilog="Examples: kennel data fetch ~/dogImages · kennel data fetch ~/dogImages --from dogImages.zip")
def fetch(
    destination: Annotated[Path, typer.Argument(help="The data set's folder; made when missing.")] = Path("dogImages"),
    source: Annotated[str | None, typer.Option("--from", help="A zip or a folder at hand, or another address.")] = None,
) -> None:
    """Get the Udacity dog set: 133 breeds, 8,351 photographs, 1.1 GB. Goes on where it was interrupted."""
    from kennel.pictures.fetch import UDACITY
    from kennel.pictures.fetch import fetch as fetch_data

    with ExitStack() as stack:
        done = fetch_data(destination, source or UDACITY, Steps(progress(), stack))
    err.print("done" if done else "already there, nothing to do")
    out.print(str(destination))


@app.command(epilog="Examples: kennel data check ~/dogImages · kennel data check ~/dogImages --json | jq .unusable")
def check(
    folder: Annotated[Path, typer.Argument(help="A folder with train/, valid/ and test/.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything found, for machines.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Where the contact sheet (HTML) goes.")] = None,
) -> None:
    """Count pictures and find what is wrong: unreadable ones, duplicates across splits, missing labels, odd sizes."""
    from kennel.pictures import census
    from kennel.pictures.dataset import picture_files, split_folders
    from kennel.reports import census as report

    total = sum(len(picture_files(each)) for each in split_folders(folder).values())
    if not total:
        raise DataError(f"{folder} has split folders but no pictures", "Put pictures into train/LABEL/ and so on")
    with progress().step("look at pictures", total) as advance:
        found = census.take(folder, advance)
    sheet = sheet or Path(f"{folder.resolve().name}-contact-sheet.html")
    write_atomically(sheet, report.page(found).encode())
    if as_json:
        print_json(found.as_json())
    else:
        _print_census(found)
    err.print(f"contact sheet: {sheet}")


@app.command(epilog="Example: kennel data pack ~/dogImages packed && kennel train --data packed --out out")
def pack(
    folder: Annotated[Path, typer.Argument(help="A data set.")],
    destination: Annotated[Path, typer.Argument(help="Where the packed store goes.")],
    verify: Annotated[bool, typer.Option(help="Read every shard again and compare it with its digest.")] = True,
) -> None:
    """Decode and shrink every picture once, into arrays that training reads as fast as the disk gives them."""
    from kennel.pictures import dataset, store

    data = dataset.load(folder)
    work = progress()
    left_out = 0
    for split, pictures in data.splits.items():
        with work.step(f"pack {split}", len(pictures)) as advance:
            packed = store.pack(pictures, destination / split, cores(), advance)
        left_out += len(packed.left_out)
        for each in packed.left_out:
            err.print(f"left out: {split}/{each['label']}/{each['name']} cannot be read")
        if verify:
            packed.verify()
    err.print(f"{len(data) - left_out} pictures packed, {left_out} left out")
    out.print(str(destination))


@app.command(epilog="Example: kennel data draw drawings --train 20")
def draw(
    destination: Annotated[Path, typer.Argument(help="Where the drawn set goes.")],
    train: Annotated[int, typer.Option(min=1, help="Pictures a breed in train/.")] = 40,
    valid: Annotated[int, typer.Option(min=1, help="Pictures a breed in valid/.")] = 10,
    test: Annotated[int, typer.Option(min=1, help="Pictures a breed in test/.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other drawings.")] = 0,
) -> None:
    """Draw a small set of dogs (drawings, no photographs), for trying things where no photographs are."""
    from kennel.pictures.drawings import BREEDS, draw_set

    wanted = {"train": train, "valid": valid, "test": test}
    with progress().step("draw dogs", len(BREEDS) * sum(wanted.values())) as advance:
        draw_set(destination, wanted, seed, on_done=advance)
    out.print(str(destination))


class Steps:
    """From `fetch`'s (step, bytes done, bytes in all) to one progress step after another."""

    def __init__(self, work: Progress, stack: ExitStack) -> None:
        self._work, self._stack = work, stack
        self._step, self._done = "", 0
        self._advance: Advance = lambda count: None

    def __call__(self, step: str, done: int, total: int) -> None:
        if step != self._step:
            self._stack.close()
            self._advance = self._stack.enter_context(self._work.step(step, total or None, "bytes"))
            self._step, self._done = step, 0
        self._advance(done - self._done)
        self._done = done


def _print_census(found: Census) -> None:
    table = Table("", *found.counts, title=f"{found.root}: {len(found.labels)} labels", title_justify="left")
    table.add_row("usable pictures", *(str(sum(count.values())) for count in found.counts.values()))
    table.add_row(
        "fewest of a label", *(str(min(count[each] for each in found.labels)) for count in found.counts.values())
    )
    table.add_row("labels missing", *(str(len(found.missing.get(split, []))) for split in found.counts))
    out.print(table)
    _print_list("cannot be used (left out of training)", [f"{each.path}: {each.problem}" for each in found.problems])
    _print_list("labels missing", [f"{split}: {label}" for split, labels in found.missing.items() for label in labels])
    exact = [f"{pair.first} = {pair.second}" for pair in found.pairs if pair.exact]
    near = [f"{pair.first} ≈ {pair.second} ({pair.bits} of 64 bits differ)" for pair in found.pairs if not pair.exact]
    _print_list("the same picture in two splits", exact)
    _print_list("nearly the same picture in two splits (look at the contact sheet)", near)
    _print_list("turned by EXIF (handled)", [each.path for each in found.turned])
    _print_list("a side below 224 (enlarged)", [f"{each.path}: {each.width} × {each.height}" for each in found.small])
    odd = {mode: count for mode, count in found.modes.items() if mode != "RGB"}
    _print_list("modes other than RGB (converted)", [f"{mode}: {count}" for mode, count in odd.items()])
    if not (found.problems or found.missing or found.pairs):
        out.print("nothing wrong found", style="green")


def _print_list(title: str, lines: list[str]) -> None:
    if not lines:
        return
    out.print(f"{title}: {len(lines)}", style="bold")
    for line in lines[:SHOWN]:
        out.print(f"  {line}")
    if len(lines) > SHOWN:
        out.print(f"  … and {len(lines) - SHOWN} more (--json lists all)")
