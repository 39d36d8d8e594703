"""Text from the source in files and pages: shown literally, and never executed."""

import csv
import html
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from brewery_assets.lake.tables import markdown
from brewery_assets.presentation import csv_cell, markdown_text, visible

repeatably = settings(derandomize=True, database=None, deadline=None, max_examples=100)
HOSTILE = [
    "![](http://evil.example/x.png)",
    "![x][y]",
    "[Click](https://evil.example)",
    "<img src=x onerror=alert(1)>",
    "<https://evil.example>",
    "a | b || c",
    r"a \| b \\| c \ ",
    "`code` ``` ~~~ ~~gone~~",
    "**bold** __bold__ *em* _em_ snake_case __proto__",
    "&lt;b&gt; &#60; AT&T R&D",
    "# no heading",
    "two\nlines\r\n\n| - |",
    "$x^2$ {{ 7 * 7 }}",
]
ORDINARY = ["Dolnośląskie", "O'Fallon", "Smith & Sons (Pub)", "brewery_count", "-1.5 + 2 = 3!"]


def rendered(text: str) -> tuple[str, set[str]]:
    """The text of a table's only cell as Markdown shows it, and the tags in the table."""
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    page = renderer.render(markdown(("name",), [(text,)]))
    (cell,) = re.findall("<td>(.*)</td>", page, re.DOTALL)
    return html.unescape(cell), set(re.findall("<([a-z]+)", page))


TABLE = {"table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("text", [*HOSTILE, *ORDINARY])
def test_markdown_shows_text_literally(text: str) -> None:
    assert rendered(text) == (" ".join(text.split()), TABLE)


@repeatably
@given(st.text(st.sampled_from(r"ab1_*`~[]()!<>|\&#;: " + '"/.@-='), max_size=30))
def test_a_markdown_table_shows_any_text_literally(text: str) -> None:
    shown, tags = rendered(f"x{text}x")
    assert shown == " ".join(f"x{text}x".split())
    assert tags == TABLE


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_not_changed_for_markdown(text: str) -> None:
    assert markdown_text(text) == text


@pytest.mark.parametrize("text", ["http://a.example", "www.a.example", "joe@a.example"])
def test_addresses_do_not_become_links(text: str) -> None:
    escaped = markdown_text(text)
    assert escaped != text
    assert escaped.replace("\\", "") == text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
@pytest.mark.parametrize("before", ["", " ", "\u200b", "\u202e", "\x00", "\ufeff"])
def test_a_csv_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(
    before: str, start: str
) -> None:
    cell = csv_cell(f"{before}{start}1+1")
    assert cell.startswith("'")
    assert cell.endswith(f"{start}1+1")


@pytest.mark.parametrize("start", ["\t", "\r"])
def test_a_csv_cell_that_begins_with_a_tab_or_carriage_return_gets_an_apostrophe(
    start: str,
) -> None:
    assert csv_cell(f"{start}text") == "' text"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("+49 9261", "'+49 9261"),
        ("\u200b=1", "'\u200b=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a\u202eb\u2066c\x00d\ne\u2028f", "abcd e f"),
        ("55044-", "55044-"),
    ],
)
def test_values_of_the_source_become_safe_csv_cells(value: str, cell: str) -> None:
    assert csv_cell(value) == cell


@pytest.mark.parametrize("value", ["a=1", "Baden-Württemberg", "'t IJ", "1+1", "", None, -5, -1.5])
def test_other_csv_cells_are_not_changed(value: object) -> None:
    assert csv_cell(value) == value


@repeatably
@given(st.text())
def test_no_csv_cell_begins_like_a_formula(text: str) -> None:
    written = io.StringIO()
    csv.writer(written).writerow(["x", csv_cell(text)])
    (row,) = csv.reader(io.StringIO(written.getvalue()))
    assert not row[1].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert visible(row[1]) == row[1]


def test_control_and_bidi_characters_are_removed_and_line_breaks_become_spaces() -> None:
    text = "a\x00b\x1b[31m\u202ec\u2066d\u200f \x7f\x85e\tf\r\ng\u2028h \u200d\U0001f37a"
    assert visible(text) == "ab[31mcd  e f  g h \u200d\U0001f37a"
