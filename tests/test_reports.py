"""The pages: whole HTML, nothing fetched from anywhere, nothing run, whatever the labels are called."""

import re
import shutil
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kennel.artifact import Card, EngineCard, Evaluation
from kennel.pictures import dataset
from kennel.pictures.census import Census, take, thumbnail
from kennel.pictures.decode import shrink
from kennel.pictures.drawings import BREEDS, draw_set
from kennel.reports import census as census_report
from kennel.reports import training as training_report
from kennel.reports.training import Confusion, by_label, worst_pairs

VOID = {"meta", "img", "br", "hr", "link", "input", "source"}
FETCHING = {"src", "href", "xlink:href", "srcset", "data", "action", "formaction", "poster", "background", "ping"}
HOSTILE = (
    "001.<script>alert(1)</script>",
    '002."><img src=x onerror=alert(2)>',
    "003.' onmouseover='alert(3)",
    "004.{{ 7 * 7 }}&lt;b&gt;",
    "005.</style></title></table>",
)


class Page(HTMLParser):
    """Reads a page as a browser would and holds it to the rules."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text: list[str] = []
        self.titles: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} runs something: {name}={value}"
            if name in FETCHING:
                self.sources.append(value or "")
            if name == "title":
                self.titles.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return "".join(self.text)


def checked(text: str) -> Page:
    """The page, read, after what holds for all pages was checked."""
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert page.tags.count("html") == page.tags.count("body") == page.tags.count("title") == 1
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & set(page.tags)
    assert all(source.startswith(("data:image/", "#")) for source in page.sources)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", text)
    assert "Content-Security-Policy" in text
    assert "default-src 'none'" in text
    return page


@dataclass(frozen=True)
class Epoch:
    """One row of a history."""

    number: int
    train_loss: float = 1.0
    train_accuracy: float = 0.5
    valid_loss: float = 1.2
    valid_accuracy: float = 0.4


HISTORY = [Epoch(number, 2 / number, 1 - 1 / number, 2.2 / number, 0.9 - 0.9 / number) for number in range(1, 6)]


def card(labels: tuple[str, ...] = ("001.Affenpinscher", "002.Afghan_hound", "016.Beagle")) -> Card:
    count = len(labels)
    confusion = [[8 if right == wrong else right % 2 for wrong in range(count)] for right in range(count)]
    return Card(
        labels=list(labels),
        stride="conv2",
        hyperparameters={"epochs": 5, "trainable": "head", "note": labels[0]},
        best_epoch=4,
        metrics={"valid_loss": 0.5},
        evaluation=Evaluation(pictures=26, accuracy=0.923, top5_accuracy=1.0, confusion=confusion),
        engines={
            "float32": EngineCard(accuracy=0.923, lost_points=0.0),
            "int8": EngineCard(accuracy=0.921, lost_points=0.2),
        },
        default_engine="int8",
        provenance={
            "packages": {"torch": "2.13.0"},
            "device": "cpu",
            "weights": {"source": labels[-1]},
            "data": {"pictures": {"train": 30, "valid": 9, "test": 26}},
        },
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_set(folder, {"train": 7, "valid": 1, "test": 1}, breeds=BREEDS[:2])
    return folder


@pytest.fixture(scope="module")
def picture(drawn: Path) -> bytes:
    return thumbnail(shrink(min(drawn.rglob("*.jpg")).read_bytes()))


@pytest.fixture
def hostile(drawn: Path, tmp_path: Path) -> Census:
    """A folder with hostile label and file names in which everything is wrong that can be."""
    root = Path(shutil.copytree(drawn, tmp_path / "dogs"))
    source = min((root / "train").rglob("*.jpg"))
    for label in (each.replace("/", "∕") for each in HOSTILE):  # a name of a file has no slash
        for split in ("train", "test"):
            (root / split / label).mkdir()
            shutil.copy(source, root / split / label / "<b>&.jpg")
        (root / "train" / label / "<i>broken.jpg").write_bytes(b"x")
    return take(root)


def test_the_training_page_is_whole_and_tells_the_figures(picture: bytes) -> None:
    confusions = [Confusion("016.Beagle", "002.Afghan_hound", 3, picture, picture)]
    page = checked(training_report.page(card(), HISTORY, confusions))
    for words in ("92.3 %", "100.0 %", "26", "Afghan hound", "3 ×", "epoch 4 was kept", "torch 2.13.0"):
        assert words in page.words
    assert page.tags.count("svg") == 2
    assert [source for source in page.sources if source.startswith("data:")] == [page.sources[-1]] * 2
    assert page.sources[-1].startswith("data:image/jpeg;base64,")


def test_the_training_page_escapes_hostile_labels_wherever_they_stand(picture: bytes) -> None:
    confusions = [Confusion(each, other, 1, picture, b"") for each, other in zip(HOSTILE, HOSTILE[::-1], strict=True)]
    page = checked(training_report.page(card(HOSTILE), HISTORY, confusions))
    for label in HOSTILE:
        assert label in page.titles
        assert label.split(".", 1)[1] in page.words
    assert "49" not in page.words  # a label is no template


def test_a_training_without_confusions_and_of_one_epoch_has_a_page() -> None:
    page = checked(training_report.page(card(), HISTORY[:1], []))
    assert "No test picture was taken wrong." in page.words
    assert not [source for source in page.sources if source.startswith("data:")]


def test_a_training_whose_losses_are_no_numbers_has_a_page() -> None:
    odd = [replace(HISTORY[0], valid_loss=float("nan")), replace(HISTORY[1], train_loss=float("inf"))]
    checked(training_report.page(card(), odd, []))


def test_the_training_page_says_when_int8_lost_too_much() -> None:
    slow = card().model_copy(update={"default_engine": "float32"})
    assert "served in float32" in checked(training_report.page(slow, HISTORY, [])).words
    assert "served in float32" not in checked(training_report.page(card(), HISTORY, [])).words


def test_the_same_training_gives_the_same_page(picture: bytes) -> None:
    confusions = [Confusion("016.Beagle", "002.Afghan_hound", 3, picture, b"")]
    assert len({training_report.page(card(), HISTORY, confusions) for _ in range(3)}) == 1


def test_accuracy_by_label_is_worst_first_and_leaves_out_labels_without_test_pictures() -> None:
    evaluation = Evaluation(pictures=9, accuracy=0.5, top5_accuracy=1, confusion=[[3, 1, 0], [0, 0, 0], [4, 0, 1]])
    rows = by_label(card().model_copy(update={"evaluation": evaluation}))
    assert [(row.label, row.right, row.pictures, row.share) for row in rows] == [
        ("016.Beagle", 1, 5, 0.2),
        ("001.Affenpinscher", 3, 4, 0.75),
    ]


def test_the_worst_pairs_are_the_most_frequent_twelve() -> None:
    assert worst_pairs([[5, 1, 2], [0, 5, 0], [2, 0, 5]]) == [(0, 2, 2), (2, 0, 2), (0, 1, 1)]
    assert worst_pairs([[1, 0], [0, 1]]) == []
    assert len(worst_pairs([[1] * 9] * 9)) == 12


def test_a_label_is_shown_as_its_breed() -> None:
    assert dataset.breed("016.German_shepherd_dog") == "German shepherd dog"
    assert dataset.breed("cat") == "cat"


def test_the_contact_sheet_of_a_sound_set_shows_a_few_pictures_of_every_label(drawn: Path) -> None:
    found = replace(take(drawn), pairs=())
    page = checked(census_report.page(found))
    assert "18 pictures of 2 labels in 3 splits." in page.words
    assert len(page.sources) == 2 * census_report.PER_LABEL
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert "Cannot be used" not in page.words
    assert "In two splits" not in page.words


def test_the_contact_sheet_escapes_hostile_names_and_shows_all_that_is_wrong(hostile: Census) -> None:
    page = checked(census_report.page(hostile))
    for label in (each.replace("/", "∕") for each in HOSTILE):
        assert label in page.words
        assert f"train/{label}/<b>&.jpg" in page.titles
        assert f"train/{label}/<i>broken.jpg" in page.words
    for heading in ("Cannot be used (left out of training)", "Labels missing from a split", "In two splits"):
        assert heading in page.words
    assert "the same file" in page.words
    assert "i" not in page.tags  # as in the name of a file


def test_the_contact_sheet_shows_a_bounded_number_of_pairs_and_says_so(hostile: Census) -> None:
    many = replace(hostile, pairs=hostile.pairs[:1] * 99)
    page = checked(census_report.page(many))
    assert f"The first {census_report.PAIRS} are shown." in page.words
    assert page.tags.count("figure") == census_report.PAIRS


def test_the_same_census_gives_the_same_contact_sheet(hostile: Census) -> None:
    assert census_report.page(hostile) == census_report.page(hostile)


def test_a_name_that_is_no_utf8_leaves_a_page_that_can_be_written(drawn: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(drawn, tmp_path / "dogs"))
    label = min((root / "train").iterdir())
    label.rename(label.with_name("016.Beagl\udce9"))
    page = checked(census_report.page(take(root)).encode().decode())
    assert "016.Beagl?" in page.words


def test_a_set_without_any_picture_has_a_contact_sheet(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert "0 pictures of 0 labels in 1 splits." in checked(census_report.page(take(tmp_path))).words
