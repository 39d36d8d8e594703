"""What can go wrong with the API: switches, all off by default."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from random import Random


@dataclass(frozen=True)
class Faults:
    """Faults of the service, of its delivery and of its data.

    Whether a request has the fault of a share (0 to 1) depends on the seed, the URL and how often
    that URL was requested, so concurrent requests have the same faults in every run.

    Raises:
        ValueError: a value is out of range; the message is one sentence.
    """

    seed: int = 0  # another seed selects other requests

    fail_first: int = 0  # the first N requests of each distinct URL get 503
    always_status: int | None = None  # each request to /breweries gets this status
    server_errors: float = 0.0  # share that gets 500, 502, 503 or 504
    dropped_connections: float = 0.0  # share whose connection closes with no answer
    hanging: float = 0.0  # share not answered until the client gives up or the server stops
    dripping: float = 0.0  # share whose body is sent at one byte per 0.2 s
    cut_bodies: float = 0.0  # share whose connection closes halfway through the body
    cut_json: float = 0.0  # share whose JSON is cut in the middle, in a well-formed HTTP answer
    html: float = 0.0  # share that gets 200 with an HTML page
    objects: float = 0.0  # share of pages that are an object instead of an array
    empty_pages: float = 0.0  # share of pages that are [] instead of their rows

    empty_page_numbers: frozenset[int] = frozenset()  # these pages are always []
    ignore_sort: bool = False  # like the older API: every order is unstable
    ignore_page: bool = False  # every page is page 1
    per_page_cap: int | None = None  # at most that many rows per page, without an error
    no_meta: bool = False  # /breweries/meta gets 404, like a missing brewery
    meta_as_text: bool = False  # like the older API: numbers as strings, no by_country
    meta_total_off_by: int = 0  # this number is added to meta's total
    coordinates_as_text: bool = False  # like some versions: "11.327765", not 11.327765
    dropped_fields: frozenset[str] = frozenset()  # fields missing from every row
    strays: int = 0  # this many elements of page 1 are not objects; the total counts them
    rows_change_every: int = 0  # after every N pages one row is added, removed or modified
    changes_stop_after: int | None = None  # the rows stop changing after this many changes

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
        """Whether this attempt (from 1) at this URL has the fault of that name."""
        chance: float = getattr(self, share)
        return chance > 0 and self.draw(share, url, attempt).random() < chance

    def draw(self, purpose: str, url: str, attempt: int) -> Random:
        """Random numbers that depend only on the seed and the arguments."""
        return Random(f"{self.seed} {purpose} {url} {attempt}")


NO_FAULTS = Faults()


def parse(switches: Iterable[str]) -> Faults:
    """`Faults` from texts like `html=0.1`, `no_meta=true` or `empty_page_numbers=2,5`.

    Raises:
        ValueError: a name or a value is invalid; the message is one sentence.
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
