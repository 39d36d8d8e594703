"""Suspicions about a whole record: duplicates, unknown types, misspelled places."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from brewery_assets.layers.places import misspellings, slug
from brewery_assets.layers.silver import BREWERY_TYPES
from brewery_assets.layers.suspects.suspicion import Brewery, Suspicion

COMPARED = ("brewery_type", "phone", "website_url", "postal_code", "longitude", "latitude")


def duplicates(breweries: Iterable[Brewery]) -> Iterator[Suspicion]:
    """Records with the same name, address, city and state as another one, ignoring case.

    The suspicion is about the record with fewer values or, on a tie, with the larger id. Records
    that have neither an address nor a city are not compared.
    """
    placed = (each for each in breweries if each.address_1 or each.city)
    namesakes = _groups(placed, lambda each: (each.country, each.state, slug(each.name)))
    alike = (
        group
        for known in namesakes
        for group in _groups(known, lambda each: (slug(each.address_1), slug(each.city)))
    )
    for group in alike:
        kept, *others = sorted(group, key=lambda each: (-each.filled, each.id))
        for other in others:
            differing = [
                column for column in COMPARED if getattr(kept, column) != getattr(other, column)
            ]
            yield Suspicion(
                other,
                "duplicate",
                "id",
                other.id,
                None,
                f"{kept.id} has the same name, address, city and state"
                + (f", though another {', '.join(differing)}." if differing else "."),
            )


def _groups(
    breweries: Iterable[Brewery], key: Callable[[Brewery], tuple[str, ...]]
) -> list[list[Brewery]]:
    """The groups of two or more breweries with the same key."""
    groups: dict[tuple[str, ...], list[Brewery]] = defaultdict(list)
    for brewery in breweries:
        groups[key(brewery)].append(brewery)
    return [group for group in groups.values() if len(group) > 1]


def unknown_types(breweries: Iterable[Brewery]) -> Iterator[Suspicion]:
    """Records with a type that is not one of the source's known types."""
    for brewery in breweries:
        kind = brewery.brewery_type
        if kind is not None and kind not in BREWERY_TYPES:
            yield Suspicion(
                brewery,
                "unknown_type",
                "brewery_type",
                kind,
                None,
                f"The known types are {', '.join(BREWERY_TYPES)}.",
            )


def misspelled_places(breweries: Iterable[Brewery]) -> Iterator[Suspicion]:
    """Records whose state is not spelled as in most others, or is wrong in place_aliases.csv.

    A name in another language, such as Vlaanderen for Flanders, is not a misspelling.
    """
    wrong = misspellings()
    for brewery in breweries:
        served, name = brewery.state_province, brewery.state_name
        if served is None or name is None or served == name:
            continue
        if why := wrong.get((brewery.country, slug(served))):
            yield Suspicion(brewery, "misspelled_place", "state_province", served, name, f"{why}.")
        elif slug(served) == brewery.state:
            yield Suspicion(
                brewery,
                "misspelled_place",
                "state_province",
                served,
                name,
                "Most records of this state spell it the other way.",
            )
