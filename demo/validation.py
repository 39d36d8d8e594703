"""The API's rules for a query string, and its error messages."""

import re
from collections.abc import Mapping

from demo.query import LIKE, LISTS, SORTABLE, Query

TYPE = re.compile(
    "bar|beergarden|brewpub|cidery|closed|contract|large|location|micro|nano|planning|proprietor"
    "|regional|taproom|unknown"
)
MOST_PER_PAGE = 200


class Refused(Exception):  # noqa: N818  # it says what happened to the request
    """An invalid request; its argument maps each parameter to its errors."""


def validated(parameters: Mapping[str, str]) -> Query:
    """The query of these parameters. Raises Refused, which names every invalid one."""
    errors: dict[str, list[str]] = {}
    query = Query(
        page=whole_number(parameters, "page", default=1, most=None, errors=errors),
        per_page=whole_number(
            parameters, "per_page", default=50, most=MOST_PER_PAGE, errors=errors
        ),
        sort=_sort(parameters, errors),
        filters={name: parameters[name] for name in (*LIKE, *LISTS) if name in parameters},
    )
    for brewery_type in query.filters.get("by_type", "micro").split(","):
        if not TYPE.fullmatch(brewery_type.strip()):
            text = f"The by_type contains invalid brewery type: {brewery_type.strip()}"
            errors.setdefault("by_type", []).append(text)
    if errors:
        raise Refused(errors)
    return query


def whole_number(
    parameters: Mapping[str, str],
    name: str,
    *,
    default: int,
    most: int | None,
    errors: dict[str, list[str]],
) -> int:
    """The parameter as a number from 1 to `most`; otherwise the default, and a line in `errors`."""
    text = parameters.get(name)
    if text is None:
        return default
    label = f"The {name.replace('_', ' ')} field must"
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        errors[name] = [f"{label} be an integer."]
    elif int(text) < 1:
        errors[name] = [f"{label} be at least 1."]
    elif most is not None and int(text) > most:
        errors[name] = [f"{label} not be greater than {most}."]
    else:
        return int(text)
    return default


def _sort(
    parameters: Mapping[str, str], errors: dict[str, list[str]]
) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in parameters.get("sort", "id").split(","):
        name, *rest = (part.strip() for part in item.split(":"))
        direction = (rest or ["asc"])[0].lower()
        if len(rest) > 1 or name not in SORTABLE:
            valid = ", ".join(SORTABLE)
            text = f"The sort contains an invalid sort field. Valid fields are: {valid}."
            errors.setdefault("sort", [text])
        elif direction not in ("asc", "desc"):
            errors.setdefault("sort", ["The sort direction must be asc or desc."])
        pairs.append((name, direction))
    return tuple(pairs) if "sort" in parameters else ()
