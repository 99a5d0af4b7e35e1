"""RuleParameters as SageMaker has them, strings by name, parsed into the typed parameters of one rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from kennel.errors import SettingError

NOT_THE_RULES = ("rule_to_invoke", "base_trial", "action_json", "other_trials", "profiler_report", "scan_interval_us")
"""What SageMaker's SDK writes into every rule's parameters; no rule's own matter."""


class Parameters(BaseModel):
    """What a rule can be told. Subclasses name the published parameters, with the published defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Self:
        """Raises SettingError in one line, also for a parameter that the rule does not have."""
        mine = {name: value for name, value in given.items() if name not in NOT_THE_RULES}
        try:
            return cls.model_validate(mine)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            rule = cls.__name__.removesuffix("Parameters")
            if first["type"] == "extra_forbidden":
                raise SettingError(
                    f"{rule} has no parameter {name!r}", f"Known are {', '.join(cls.model_fields)}"
                ) from error
            reason = first["msg"][0].lower() + first["msg"][1:]
            raise SettingError(f"{rule}: {name} = {first['input']!r}: {reason}", "Change its value") from error


def compiled(regex: str) -> re.Pattern[str]:
    """Raises SettingError for what is no regular expression."""
    try:
        return re.compile(regex)
    except re.error as error:
        raise SettingError(f"{regex!r} is no regular expression ({error})", "Mend it") from error


def rule_of(given: Mapping[str, str]) -> str:
    """`rule_to_invoke`. Raises SettingError where it is missing."""
    try:
        return given["rule_to_invoke"]
    except KeyError as error:
        raise SettingError("the rule's parameters name no rule_to_invoke", "Name one, VanishingGradient say") from error
