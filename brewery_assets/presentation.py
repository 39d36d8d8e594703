"""Text from the source for files and pages: it is shown literally, and never executed."""

import re
import unicodedata
from typing import Any

_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]
_BIDI = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_INVISIBLE: dict[int, str | None] = {
    **{code: " " if chr(code).isspace() else None for code in _CONTROLS},
    **dict.fromkeys(_BIDI),
}
_FORMULA = ("=", "+", "-", "@")
_MARKDOWN = re.compile(
    r"[\\`*\[<|~@]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # not inside a word, where it means nothing
    r"|&(?=#?\w)|:(?=//)|(?<=www)\."  # entities; addresses that become links automatically
)


def visible(text: str) -> str:
    """The text without control and bidi characters; tabs and line breaks become spaces."""
    return text.translate(_INVISIBLE)


def csv_cell(value: Any) -> Any:
    """A value for a CSV file; numbers and None stay as they are.

    A spreadsheet runs text as a formula if it begins with one of `=+-@`, a tab or a carriage
    return; such text gets a leading apostrophe (OWASP, "CSV Injection").
    """
    if not isinstance(value, str):
        return value
    shown = visible(value)
    begins = next((letter for letter in shown if not _is_skipped(letter)), "")
    # Some spreadsheets also accept the full-width forms, which NFKC maps to the ASCII ones.
    is_formula = unicodedata.normalize("NFKC", begins) in _FORMULA
    return f"'{shown}" if is_formula or value.startswith(("\t", "\r")) else shown


def _is_skipped(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) == "Cf"


def markdown_text(text: str) -> str:
    """The text, escaped for use inside a Markdown line: no image, link, HTML, code, emphasis."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(visible(text).split()))
