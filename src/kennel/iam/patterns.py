"""What a policy's words match: wildcards (`*` any characters, `?` one) and variables (`${aws:username}`).

A wildcard spans colons and slashes. What a variable stands for is taken as it is: a `*` in a user's name is no
wildcard. Matching takes time in proportion to text times pattern, whatever the pattern is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

Context = Mapping[str, tuple[str, ...]]
"""Condition keys in lower case → their values."""
VARIABLES = "2012-10-17"
"""The version of the policy language from which `${…}` is a variable; before, it is text."""
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAMED = re.compile(r"\s*([^\s,'*?$]+)\s*(?:,\s*'([^']*)'\s*)?")
_LITERAL = ("*", "?", "$")
_FIELDS = 6
"""Of an ARN: what colons part, the last of which may have more of them."""


@dataclass(frozen=True, slots=True)
class Variable:
    """`${key}` or `${key, 'default'}`; key is in lower case."""

    key: str
    default: str | None = None

    def value(self, context: Context) -> str | None:
        """None: it stands for nothing here. A key with several values has none that could be meant."""
        found = context.get(self.key, ())
        return found[0] if len(found) == 1 else self.default


@dataclass(frozen=True, slots=True)
class Pattern:
    """One string of a policy: pieces of text, in which a backslash makes the next character literal, and variables."""

    parts: tuple[str | Variable, ...]

    def text(self, context: Context) -> str | None:
        """With what the variables stand for; None where one stands for nothing."""
        found = []
        for each in self.parts:
            value = each if isinstance(each, str) else each.value(context)
            if value is None:
                return None
            found.append(value if isinstance(each, str) else escaped(value))
        return "".join(found)


def pattern(text: str, version: str, *, wild: bool = True) -> Pattern:
    """wild: whether `*` and `?` are wildcards. Raises ValueError for a `${` that is no variable."""
    plain = _protected if wild else escaped
    if version < VARIABLES:
        return Pattern((plain(text),))
    parts: list[str | Variable] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        parts += [plain(text[end : found.start()]), _variable(found[1])]
        end = found.end()
    parts.append(plain(text[end:]))
    if any(isinstance(each, str) and "${" in each for each in parts):
        raise ValueError(f"{text!r} has a ${{ that no }} ends")
    return Pattern(tuple(parts))


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """Several, of which one has to match: those without variables as a set and one expression, then the others."""

    exact: frozenset[str]
    fixed: re.Pattern[str] | None
    open: tuple[Pattern, ...]
    everything: bool

    def match(self, text: str, context: Context) -> bool | None:
        """None: nothing matched, but a variable stands for nothing."""
        if self.everything or text in self.exact:
            return True
        if self.fixed is not None and self.fixed.match(text) is not None:
            return True
        wanted = [each.text(context) for each in self.open]
        if any(_is_matched(each, text) for each in wanted if each is not None):
            return True
        return None if None in wanted else False


def patterns(texts: Iterable[str], version: str) -> Patterns:
    """Raises ValueError."""
    made = [pattern(each, version) for each in texts]
    fixed = [text for each in made if _is_fixed(each) and (text := each.text({})) is not None]
    wild = [expression(each) for each in fixed if _is_wild(each)]
    return Patterns(
        frozenset(each for each in fixed if not _is_wild(each)),
        compiled("|".join(wild)) if wild else None,
        tuple(each for each in made if not _is_fixed(each)),
        "*" in fixed,
    )


def completed(resource: str) -> str:
    """An ARN with fewer fields than six goes for all that begin so: `arn:aws:sqs` is `arn:aws:sqs:*:*:*`."""
    missing = _FIELDS - 1 - _VARIABLE.sub("", resource).count(":")
    return resource + ":*" * missing if resource != "*" else resource


def arn_matches(text: str, arn: str) -> bool:
    """Field by field: a wildcard matches within its own."""
    fields, found = text.split(":", _FIELDS - 1), arn.split(":", _FIELDS - 1)
    if len(fields) != _FIELDS or len(found) != _FIELDS:
        return False
    return all(_is_matched(wanted, given) for wanted, given in zip(fields, found, strict=True))


def escaped(text: str) -> str:
    """Text in which nothing is a wildcard."""
    return re.sub(r"([\\*?])", r"\\\1", text)


@lru_cache(maxsize=4096)
def expression(text: str) -> str:
    """A regular expression for the whole of what a pattern's text matches.

    What stands between stars is looked for from left to right, each at the first place where it is, and never again
    (`(?>…)`): so no pattern is slow.
    """
    pieces = [""]
    characters = iter(text)
    for each in characters:
        if each == "*":
            pieces.append("")
        else:
            pieces[-1] += "." if each == "?" else re.escape(next(characters) if each == "\\" else each)
    first, *middle = pieces
    if not middle:
        return f"{first}\\Z"
    return first + "".join(f"(?>.*?{each})" for each in middle[:-1] if each) + f".*{middle[-1]}\\Z"


@lru_cache(maxsize=4096)
def compiled(wanted: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(wanted, re.DOTALL | flags)


def _is_matched(wanted: str, text: str) -> bool:
    return compiled(expression(wanted)).match(text) is not None


def _is_fixed(found: Pattern) -> bool:
    return all(isinstance(each, str) for each in found.parts)


def _is_wild(text: str) -> bool:
    return any(each in text for each in "*?\\")


def _variable(inside: str) -> str | Variable:
    if inside in _LITERAL:
        return escaped(inside)
    named = _NAMED.fullmatch(inside)
    if named is None:
        raise ValueError(f"${{{inside}}} is no policy variable")
    return Variable(named[1].lower(), named[2])


def _protected(text: str) -> str:
    return text.replace("\\", "\\\\")
