"""What a check is, what it found, and how that reads."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

LONGEST = 160  # characters of one number, which may be a list


class Rule(NamedTuple):
    """What a check is about.

    Attributes:
        description: in words for everybody.
        blocking: whether nothing is published without it; a rule that does not block warns.
        acceptable: whether a run may be told to publish all the same, by ACCEPT_CHECKS: for rules
            about what is plausible, which someone can judge. What is wrong is never published.
        columns: that it looks at; none when it is about the rows as a whole.
    """

    description: str
    blocking: bool = True
    columns: tuple[str, ...] = ()
    acceptable: bool = False


class Outcome(NamedTuple):
    """What a check found: whether the rule holds, and the numbers behind that."""

    passed: bool
    numbers: dict[str, Any]


def format_numbers(numbers: Mapping[str, Any]) -> str:
    """An outcome's numbers in words; empty ones are left out and long ones are cut."""
    return "; ".join(
        f"{name.replace('_', ' ')}: {_short(value)}"
        for name, value in numbers.items()
        if value not in (None, {}, [])
    )


def refusal(asset: str, name: str, rule: Rule, outcome: Outcome) -> str:
    """Why a snapshot is not published, and how to publish it all the same, if that is possible."""
    why = f"{asset} is not published: {name} failed ({format_numbers(outcome.numbers)})."
    if not rule.acceptable:
        return why
    return f"{why} If it is right all the same, run once with ACCEPT_CHECKS={name}."


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,}"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
