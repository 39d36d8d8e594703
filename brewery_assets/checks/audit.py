"""The audit of a layer: its checks look at the draft, and when none blocks, publish it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg

from brewery_assets.lake.lake import Lake
from brewery_assets.lake.manifest import Manifest
from brewery_assets.presentation import markdown_text

LONGEST = 160  # characters of what is told of one number, which may be a list


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


def told(numbers: Mapping[str, Any]) -> str:
    """An outcome's numbers in words, as far as there are some and they are not too long."""
    return "; ".join(
        f"{name.replace('_', ' ')}: {_short(value)}"
        for name, value in numbers.items()
        if value not in (None, {}, [])
    )


def refusal(asset: str, name: str, rule: Rule, outcome: Outcome) -> str:
    """Why a snapshot is not published, and how to publish it all the same, if that is possible."""
    why = f"{asset} is not published: {name} failed ({told(outcome.numbers)})."
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


def audit_of(
    asset: str,
    rules: Mapping[str, Rule],
    look: Callable[[Any, Manifest], dict[str, Outcome]],
    *,
    reads: str | None = None,
    published_with_it: Sequence[str] = (),
) -> dg.AssetChecksDefinition:
    """The audit of one asset.

    Args:
        asset: its name.
        rules: by the check's name.
        look: finds out about a snapshot, with as few passes over its rows as can be; an outcome
            for each rule.
        reads: the IO manager through which `look` reads rows, if it does; with it comes an engine.
        published_with_it: other outputs of the same step; they are published first.
    """
    specs = [
        dg.AssetCheckSpec(name, asset=asset, description=rule.description, blocking=rule.blocking)
        for name, rule in rules.items()
    ]

    @dg.multi_asset_check(
        name=f"audit_{asset}",
        specs=specs,
        can_subset=True,
        required_resource_keys={"lake", "limits", *([reads] if reads else [])},
    )
    def audit(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        lake: Lake = context.resources.lake
        draft = lake.draft(asset)
        snapshot = draft or lake.reading(asset)
        outcomes = lake.through_outages(lambda: look(context.resources, snapshot))
        failed = [name for name in rules if rules[name].blocking and not outcomes[name].passed]
        accepted = set(failed) & set(context.resources.limits.accept_checks)
        refused = [name for name in failed if name not in accepted]
        for name in accepted:
            outcomes[name].numbers["accepted_by"] = f"ACCEPT_CHECKS={name}"
        if draft and not refused:
            checks = [
                {"name": name, "passed": outcome.passed, **outcome.numbers}
                for name, outcome in outcomes.items()
            ]
            for name in (*published_with_it, asset):
                if written := lake.draft(name):
                    lake.publish(written, checks)
            context.log.info(f"published {lake.storage.uri(snapshot.folder)}")
        selected = {key.name for key in context.selected_asset_check_keys}
        for name, rule in rules.items():
            blocks = rule.blocking and name not in accepted
            if name in refused:
                context.log.error(refusal(asset, name, rule, outcomes[name]))
            if name in selected:
                yield dg.AssetCheckResult(
                    asset_key=asset,
                    check_name=name,
                    passed=outcomes[name].passed,
                    severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
                    description=(  # which the UI shows as Markdown
                        markdown_text(refusal(asset, name, rule, outcomes[name]))
                        if name in refused
                        else None
                    ),
                    metadata={
                        **outcomes[name].numbers,
                        "snapshot": snapshot.snapshot,
                        "path": lake.storage.uri(snapshot.folder),
                    },
                )
        if draft and (unseen := sorted(set(refused) - selected)):
            raise dg.Failure(f"{asset} stays a draft: {', '.join(unseen)} would not pass")

    return audit
