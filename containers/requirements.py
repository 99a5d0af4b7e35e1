"""Print the requirements that an image installs, one a line, from pyproject.toml: `requirements.py EXTRA|PACKAGE…`.

An EXTRA gives all it names, a PACKAGE the line that pins it; kennel's own dependencies come always, but behind `only`,
for an image that runs a part of kennel that needs none but those it names.
A file of its own, so that the layer with the dependencies is made anew when they change, and not when the source or
any other part of pyproject.toml does. Standard library only: it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path


def requirements(project: dict[str, object], wanted: list[str]) -> list[str]:
    """The lines for `wanted`, sorted. Raises LookupError for what no extra knows."""
    extras: dict[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]
    own: list[str] = project["dependencies"]  # type: ignore[assignment]
    only = wanted[:1] == ["only"]
    pinned = {_name(line): line for lines in (*extras.values(), own if only else []) for line in lines}
    found = set[str]() if only else set(own)
    for word in wanted[only:]:
        if word not in extras and word not in pinned:
            raise LookupError(f"pyproject.toml has no extra and pins no package named {word}")
        found.update(extras[word] if word in extras else [pinned[word]])
    return sorted(found)


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


if __name__ == "__main__":
    text = Path(__file__).with_name("pyproject.toml").read_text()
    sys.stdout.writelines(f"{line}\n" for line in requirements(tomllib.loads(text)["project"], sys.argv[1:]))
