"""The data dictionary agrees with the schemas, the checks and the real data."""

from brewery_assets.checks.rules import RULES
from brewery_assets_tests.conftest import LAYERS
from demo.dictionary import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "out of date: run `make data_dictionary`"


def test_the_page_names_every_layer_and_every_rule() -> None:
    said = PAGE.read_text(encoding="utf-8")
    assert [line[3:] for line in said.splitlines() if line.startswith("## ")] == [*LAYERS]
    for rules in RULES.values():
        for name, rule in rules.items():
            assert (f"- **{name}**: " if rule.blocking else f"- {name}: ") in said
    assert (
        "| `longitude` | `double` | Degrees east, -180 to 180; null without a latitude. | 20.60%"
        in said
    )
