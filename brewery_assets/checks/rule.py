"""The rule of a check, its outcome, and its numbers as text."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

LONGEST = 160  # characters of one value


class Rule(NamedTuple):
    """The rule that a check tests.

    Attributes:
        description: for readers without knowledge of the code.
        blocking: whether a failure prevents publication; otherwise it only warns.
        acceptable: whether ACCEPT_CHECKS can publish despite a failure. Only for rules about
            plausibility, which a person can judge. Wrong data is never published.
        columns: that the rule is about; empty if it is about whole rows.
    """

    description: str
    blocking: bool = True
    columns: tuple[str, ...] = ()
    acceptable: bool = False


class Outcome(NamedTuple):
    """The result of a check: whether the rule holds, and the numbers that show it."""

    passed: bool
    numbers: dict[str, Any]


def format_numbers(numbers: Mapping[str, Any]) -> str:
    """An outcome's numbers as text, without empty values and with long values cut."""
    return "; ".join(
        f"{name.replace('_', ' ')}: {_short(value)}"
        for name, value in numbers.items()
        if value not in (None, {}, [])
    )


def refusal(asset: str, name: str, rule: Rule, outcome: Outcome) -> str:
    """Why a snapshot is not published, and how to publish it anyway, if that is possible."""
    why = f"{asset} is not published: {name} failed ({format_numbers(outcome.numbers)})."
    if not rule.acceptable:
        return why
    return f"{why} If the data is right, run once with ACCEPT_CHECKS={name}."


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,}"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
