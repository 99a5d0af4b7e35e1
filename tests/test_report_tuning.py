"""The page of a tuning job: for one trial and for many, with failures, and whatever things are called."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest

from kennel.reports.tuning import Trial, best_so_far, duration, page, shown, summary

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "{{ 7 * 7 }}&lt;b&gt;",
)
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Tags and words of a page as a browser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} runs something: {name}={value}"
            assert name not in ("src", "href", "xlink:href") or (value or "").startswith(("#", "data:image/"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def checked(text: str) -> Page:
    """The page, after what holds for all pages was checked: whole, nothing fetched, nothing run."""
    found = Page(text)
    assert found.open == []
    assert text.startswith("<!doctype html>")
    assert not {"script", "iframe", "object", "link", "form"} & set(found.tags)
    assert "default-src 'none'" in text
    return found


def trials(count: int) -> list[Trial]:
    """Every fourth failed, every fifth was stopped early."""
    made = []
    for number in range(count):
        status = "Failed" if number % 4 == 3 else "Stopped" if number % 5 == 4 else "Completed"
        tuned = {"learning_rate": str(0.001 * (number + 1)), "batch_size": str(32 * 2 ** (number % 4))}
        value = None if status == "Failed" else 0.5 + 0.3 * ((number * 7) % 11) / 11
        made.append(Trial(f"tune-{number + 1:03d}", status, tuned, value, None if status == "Failed" else 12.5))
    return made


def best_of(made: Sequence[Trial]) -> str:
    return max((each for each in made if each.objective is not None), key=lambda each: each.objective or 0).name


@pytest.mark.parametrize("count", [1, 2, 20, 100])
def test_the_page_is_whole_for_any_number_of_trials(count: int) -> None:
    made = trials(count)
    found = checked(page("tune", made, best_of(made), "valid:accuracy", "Maximize", 754.0))
    assert found.tags.count("tr") == count + 1
    assert found.tags.count("svg") == 2
    assert found.words.count("★ best") == 1
    assert "12 min 34 s" in found.words
    for each in made:
        assert each.name in found.words


def test_early_stopped_and_failed_trials_are_marked() -> None:
    made = trials(20)
    words = checked(page("tune", made, best_of(made), "valid:accuracy", "Maximize")).words
    assert words.count("stopped early") >= sum(each.status == "Stopped" for each in made)
    assert "no value" in words
    assert re.search(r"5\s+failed", words)


def test_a_tuning_job_of_which_nothing_came_has_a_page_too() -> None:
    made = [Trial("t-1", "Failed", {"learning_rate": "0.1"}, None, None)]
    found = checked(page("tune", made, None, "valid:accuracy", "Maximize"))
    assert "no best one" in found.words
    assert "svg" not in found.tags
    assert "0 trials" in checked(page("tune", [], None, "valid:accuracy", "Maximize")).words


def test_trials_without_a_learning_rate_have_one_plot_less() -> None:
    made = [Trial("t-1", "Completed", {"weight_decay": "0.1"}, 0.5, 3.0)]
    assert checked(page("tune", made, "t-1", "valid:accuracy", "Maximize")).tags.count("svg") == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_names_cannot_become_markup(name: str) -> None:
    made = [Trial(name, name, {name: name, "learning_rate": "0.1", "batch_size": name}, 0.5, 3.0)]
    assert name in checked(page(name, made, name, name.replace("$", ""), "Maximize")).words


def test_the_same_figures_give_the_same_page() -> None:
    made = trials(8)
    first, second = (page("tune", made, best_of(made), "valid:accuracy", "Maximize") for _ in range(2))
    assert first == second


def test_the_best_so_far_follows_the_direction() -> None:
    values = (0.5, None, 0.7, 0.6)
    made = [Trial(str(n), "Completed", {}, value, None) for n, value in enumerate(values)]
    assert best_so_far(made, "Maximize") == [0.5, 0.5, 0.7, 0.7]
    assert best_so_far(made, "Minimize") == [0.5, 0.5, 0.5, 0.5]
    assert best_so_far(made[1:2], "Maximize") == [None]


def test_the_summary_is_in_words() -> None:
    made = [
        Trial("a", "Completed", {"learning_rate": "0.0123456", "batch_size": "64"}, 0.25, 3.0),
        Trial("b", "Completed", {"learning_rate": "0.1", "batch_size": "32"}, 0.75, 3.0),
    ]
    assert summary(made, made[0], "valid:loss", "Minimize", 61) == (
        "2 trials in 1 min 1 s. The best valid:loss is 0.2500, with batch_size 64, learning_rate 0.01235. "
        "Values lie between 0.2500 and 0.7500."
    )


def test_times_and_values_are_short() -> None:
    assert [duration(each) for each in (None, 8.4, 200, 7500)] == ["–", "8 s", "3 min 20 s", "2 h 5 min"]
    assert [shown(each) for each in ("64", "0.0012345678", "adamw-something")] == ["64", "0.001235", "adamw-something"]
