"""What can go wrong with the API: switches, all off by default."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from random import Random


@dataclass(frozen=True)
class Faults:
    """Faults of the service, of its delivery and of its data.

    A share (0 to 1) is drawn for each request from the seed, the URL and how often that URL was
    asked for, so concurrent requests meet the same faults in every run. Raises ValueError with
    one sentence for a value out of range.
    """

    seed: int = 0  # another seed, other requests struck

    fail_first: int = 0  # the first N requests of each distinct URL answer 503, then well
    always_status: int | None = None  # each request to /breweries answers this status
    server_errors: float = 0.0  # share that answers 500, 502, 503 or 504
    dropped_connections: float = 0.0  # share whose connection closes with no answer
    hanging: float = 0.0  # share not answered until the client gives up or the server stops
    dripping: float = 0.0  # share whose body comes a byte every 0.2 s
    cut_bodies: float = 0.0  # share whose connection closes half way through the body
    cut_json: float = 0.0  # share whose JSON stops half way in a well-formed HTTP answer
    html: float = 0.0  # share that answers 200 with an HTML page
    objects: float = 0.0  # share of pages that answer 200 with an object for an array
    empty_pages: float = 0.0  # share of pages that answer [] in place of their rows

    empty_page_numbers: frozenset[int] = frozenset()  # these pages always answer []
    ignore_sort: bool = False  # as the older API: every order is unstable
    ignore_page: bool = False  # every page is page 1
    per_page_cap: int | None = None  # at most that many rows a page, silently
    no_meta: bool = False  # /breweries/meta answers 404 as a missing brewery would
    meta_as_text: bool = False  # as the older API: numbers as strings, no by_country
    meta_total_off_by: int = 0  # meta's total says so many more than there are
    coordinates_as_text: bool = False  # as some versions: "11.327765" for 11.327765
    dropped_fields: frozenset[str] = frozenset()  # fields missing from every row
    strays: int = 0  # so many elements of page 1 are no objects, and counted in the total
    rows_change_every: int = 0  # after every N pages one row is added, removed, modified in turn
    changes_stop_after: int | None = None  # after so many changes the rows hold still

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is float and not 0 <= value <= 1:
                raise ValueError(f"{field.name} must be a share from 0 to 1, not {value}.")
        for name in ("fail_first", "strays", "rows_change_every", "changes_stop_after"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must not be negative.")
        if self.per_page_cap is not None and self.per_page_cap < 1:
            raise ValueError(f"per_page_cap must be at least 1, not {self.per_page_cap}.")
        if self.always_status is not None and not 200 <= self.always_status <= 599:
            raise ValueError(f"always_status must be from 200 to 599, not {self.always_status}.")

    def strikes(self, share: str, url: str, attempt: int) -> bool:
        """Whether the fault of that name befalls this attempt (from 1) at this URL."""
        chance: float = getattr(self, share)
        return chance > 0 and self.draw(share, url, attempt).random() < chance

    def draw(self, purpose: str, url: str, attempt: int) -> Random:
        """Random numbers that depend on nothing but the seed and the arguments."""
        return Random(f"{self.seed} {purpose} {url} {attempt}")


NO_FAULTS = Faults()


def parse(switches: Iterable[str]) -> Faults:
    """`Faults` from texts like `html=0.1`, `no_meta=true` or `empty_page_numbers=2,5`.

    Raises ValueError with one sentence for a name or value that does not fit.
    """
    types = {field.name: field.type for field in fields(Faults)}
    values: dict[str, object] = {}
    for switch in switches:
        name, _, text = switch.partition("=")
        if name not in types:
            raise ValueError(f"There is no fault {name!r}; there are: {', '.join(types)}.")
        read, wanted = _READERS[types[name]]
        try:
            values[name] = read(text)
        except (KeyError, ValueError):
            raise ValueError(f"{name} needs {wanted}, not {text!r}.") from None
    return Faults(**values)  # type: ignore[arg-type]  # each value was read for its field's type


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


_READERS: dict[object, tuple[Callable[[str], object], str]] = {
    int: (int, "a whole number"),
    int | None: (int, "a whole number"),
    float: (float, "a number from 0 to 1"),
    bool: (lambda text: {"true": True, "false": False}[text.lower()], "true or false"),
    frozenset[int]: (lambda text: frozenset(map(int, _items(text))), "page numbers with commas"),
    frozenset[str]: (lambda text: frozenset(_items(text)), "field names with commas"),
}
