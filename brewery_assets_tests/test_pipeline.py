"""The pipeline as a whole: from an API on loopback to counts that an independent reader finds."""

from collections import Counter

from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.scenario import BROKEN, GOOD, ROWS


def test_every_row_of_the_source_is_in_silver_or_rejected(pipeline: Pipeline) -> None:
    pipeline.run()
    assert len(pipeline.lines()) == len(ROWS)
    silver = {row["id"] for row in pipeline.rows("silver_breweries")}
    assert silver == {row["id"] for row in GOOD}
    rejected = pipeline.rows("rejected_breweries")
    assert Counter(row["reason"] for row in rejected) == {"no id": 1, "no name": 1}
    assert len(rejected) == len(BROKEN)


def test_gold_counts_each_type_in_each_place_once(pipeline: Pipeline) -> None:
    pipeline.run()
    counts = {
        (row["country"], row["state"], row["brewery_type"]): row["brewery_count"]
        for row in pipeline.rows("gold_brewery_counts")
    }
    assert counts == {
        ("austria", "karnten", "zoigl"): 1,
        ("belgium", "flanders", "micro"): 2,
        ("ireland", "cork", "micro"): 1,
        ("poland", "dolnoslaskie", "micro"): 1,
        ("united_states", "massachusetts", "contract"): 1,
        ("united_states", "missouri", "brewpub"): 2,
        ("united_states", "missouri", "micro"): 1,
        ("united_states", "oregon", "micro"): 1,
        ("unknown", "unknown", "unknown"): 1,
    }
