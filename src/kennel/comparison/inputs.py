"""Whether two trainings were given the same: image, data, weights, hyperparameters. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kennel import hyperparameters
from kennel.comparison.recorded import Recorded
from kennel.contract import without_sagemakers
from kennel.errors import SettingError


@dataclass(frozen=True, slots=True)
class Given:
    """One input, as each has it; same: None where that cannot be told."""

    name: str
    one: str
    other: str
    same: bool | None


def compared(one: Recorded, other: Recorded) -> list[Given]:
    """Image, data, weights; then each hyperparameter that differs, or one row where none does."""
    return [_image(one, other), *_places(one, other), *_hyperparameters(one, other)]


def differing(one: Recorded, other: Recorded) -> list[Given]:
    """Those that differ, or may do so."""
    return [each for each in compared(one, other) if not each.same]


def data_of(run: Recorded) -> str:
    """The folder that has a folder for each split; several addresses where there is no such one."""
    places = {split: uri.rstrip("/") for split, uri in run.data.items()}
    above = {uri.removesuffix(f"/{split}") for split, uri in places.items() if split and uri.endswith(f"/{split}")}
    if len(above) == 1 and all(uri.endswith(f"/{split}") for split, uri in places.items()):
        return f"{above.pop()}/"
    return ", ".join(f"{split} {uri}/".strip() for split, uri in sorted(places.items()))


def weights_of(run: Recorded) -> str:
    """The folder, where it is told by its one file too."""
    place, _, name = run.weights.rpartition("/")
    return f"{place}/" if place and name.endswith(".safetensors") else run.weights


def hyperparameters_of(run: Recorded) -> dict[str, str]:
    """All, defaults written out; as they are told where this version does not know them."""
    told = without_sagemakers(run.hyperparameters)
    try:
        return {name: str(value) for name, value in hyperparameters.parse(told).model_dump().items()}
    except SettingError:
        return told


def _image(one: Recorded, other: Recorded) -> Given:
    known = one.image_digest and other.image_digest
    same = one.image_digest == other.image_digest if known else None
    return Given("image", one.image_digest or one.image, other.image_digest or other.image, same)


def _places(one: Recorded, other: Recorded) -> list[Given]:
    pairs = {"data": (data_of(one), data_of(other)), "weights": (weights_of(one), weights_of(other))}
    return [Given(name, first, second, first == second) for name, (first, second) in pairs.items()]


def _hyperparameters(one: Recorded, other: Recorded) -> list[Given]:
    first, second = hyperparameters_of(one), hyperparameters_of(other)
    names = sorted(first.keys() | second.keys())
    differ = [name for name in names if first.get(name) != second.get(name)]
    if not differ:
        told = ", ".join(f"{name} {first[name]}" for name in names)
        return [Given("hyperparameters", told, told, True)]
    return [Given(name, first.get(name, "not given"), second.get(name, "not given"), False) for name in differ]
