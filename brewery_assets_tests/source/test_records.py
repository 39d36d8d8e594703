"""Splitting a page: the same values as Python's JSON parser, and the text of each as served."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brewery_assets.source.records import id_of, split_page

# The seed depends only on the test, and no file is written.
repeatably = settings(derandomize=True, database=None, deadline=None, max_examples=100)

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    plain | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
records = values | st.dictionaries(st.just("id") | st.text(), values, max_size=4)
spellings = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 1, 4, "\t", "\r\n", "\r"]),
        "ensure_ascii": st.booleans(),
        "separators": st.sampled_from([None, (",", ":"), (" ,\n", "\r: ")]),
    }
)


def lines(text: str) -> list[str]:
    return [record.line for record in split_page(text)]


def refuse(constant: str) -> None:
    raise ValueError(constant)


@settings(repeatably, max_examples=40)  # one takes as long as ten of the other tests
@given(
    page=st.lists(records, max_size=6), spelling=spellings, around=st.text(" \t\r\n", max_size=3)
)
@example(page=["\u2028\u2029\x85\x0b\x0c\x1c\r\n"], spelling={"ensure_ascii": False}, around="")
def test_any_page_in_any_json_layout_gives_one_value_in_each_line(
    page: list[Any], spelling: dict[str, Any], around: str
) -> None:
    found = lines(around + json.dumps(page, **spelling) + around)
    assert [json.dumps(json.loads(line)) for line in found] == [json.dumps(one) for one in page]
    assert not any(set(line) & {"\r", "\n"} for line in found)


@repeatably
@given(page=st.lists(records, max_size=4), data=st.data())
def test_a_damaged_page_is_refused_or_read_exactly_as_by_pythons_json_parser(
    page: list[Any], data: st.DataObject
) -> None:
    text = json.dumps(page, indent=data.draw(st.sampled_from([None, 1])), ensure_ascii=False)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 2, len(text))))
    text = text[:start] + data.draw(st.text('[]{},:"\\ 1eNn\t\x00', max_size=2)) + text[end:]
    try:
        expected = json.loads(text, parse_constant=refuse)
    except ValueError:
        expected = None
    if isinstance(expected, list):
        assert [json.loads(line) for line in lines(text)] == expected
    else:
        with pytest.raises(ValueError, match=r"."):
            split_page(text)


@repeatably
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "\\", "u", "\ud83c", "\udf7a", "\ud800", "\U0001f37a"]))
    )
)
def test_lone_surrogates_become_the_replacement_character_and_pairs_are_kept(
    page: list[list[str]],
) -> None:
    texts = ["".join(letters) for letters in page]
    whole = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    found = lines(json.dumps(texts))
    assert [json.loads(line) for line in found] == whole
    assert "".join(found).isascii()


@pytest.mark.parametrize(
    ("served", "kept"),
    [
        (r'"\ud800"', r'"\ufffd"'),
        (r'"\uDFFFx"', r'"\ufffdx"'),
        (r'"\uD83C\uDF7A"', r'"\uD83C\uDF7A"'),
        (r'"\uDF7A\uD83C"', r'"\ufffd\ufffd"'),
        (r'"\ud83c\ud83c\udf7a"', r'"\ufffd\ud83c\udf7a"'),
        (r'"\ud83c\u0041"', r'"\ufffd\u0041"'),
        (r'"\ud83c\n"', r'"\ufffd\n"'),
        (r'"\\ud800"', r'"\\ud800"'),
        (r'"\\\ud800"', r'"\\\ufffd"'),
        (r'"\\\\ud800"', r'"\\\\ud800"'),
        (r'"\ud83c\\udf7a"', r'"\ufffd\\udf7a"'),
        (r'{"\udc00": 1}', r'{"\ufffd": 1}'),
        ('"ud800 \U0001f37a"', '"ud800 \U0001f37a"'),
    ],
)
def test_only_text_that_utf_8_cannot_encode_is_replaced(served: str, kept: str) -> None:
    assert lines(f"[{served}]") == [kept]


@pytest.mark.parametrize(
    "record",
    [
        '{"id":"a","longitude":1.10,"latitude":-0.0,"far":1e999,"near":1E-07}',
        '{"id":"a", "name":"one" ,"name":"two","id":"a"}',
        r'{"id":"a","name":"K\u00f6ln \/ \"x\" \\ \n\r\t\u0000"}',
        '{"z":1,"id":"a","A":null,"":true}',
        '{"id":"a","tags":[ [],{} , [1 ,2]],"big":123456789012345678901234567890}',
        '{"id":"a","name":"K\u00f6ln \u65e5 \U0001f37a \u2028 \u2029 \x85 \x7f \ufeff \xa0"}',
    ],
)
def test_the_text_of_a_record_is_kept_as_served(record: str) -> None:
    assert lines(f"[{record}]") == [record]
    assert lines(f"\n[ {record} ,\t{record}\r\n]\n") == [record, record]


def test_pretty_printed_records_become_one_line_each() -> None:
    page = '[\r\n  {\r\n    "id": "a",\n    "tags": [\r1,\n2]\n  },\n  {\n"id": "b"}\n]\n'
    assert lines(page) == ['{      "id": "a",     "tags": [ 1, 2]   }', '{ "id": "b"}']


def test_records_keep_the_order_in_which_they_were_served() -> None:
    served = ['{"id":"c"}', "null", '{"id":"a"}', '{"id":"b"}', '{"id":"a","name":"later"}']
    assert lines(f"[{','.join(served)}]") == served


@pytest.mark.parametrize("page", ["[]", " [ ] ", "\r\n[\t]\n"])
def test_an_empty_page_has_no_records(page: str) -> None:
    assert split_page(page) == []


@pytest.mark.parametrize(
    ("page", "cause"),
    [
        ("", "no JSON array"),
        ("{}", "no JSON array"),
        ('{"message":"Server busy."}', "no JSON array"),
        ('"[]"', "no JSON array"),
        ("null", "no JSON array"),
        ("<!DOCTYPE html>", "no JSON array"),
        ("\xa0[]", "no JSON array"),
        ("[NaN]", "NaN is not JSON"),
        ('[{"longitude": Infinity}]', "Infinity is not JSON"),
        ('[{"longitude": [-Infinity]}]', "-Infinity is not JSON"),
        ("[] []", "text after the JSON array"),
        ('[{"id":"a"}]x', "text after the JSON array"),
        ("[]\x00", "text after the JSON array"),
        ("[1,2", "incomplete or invalid JSON at character 4"),
        ("[1 2]", "incomplete or invalid JSON at character 3"),
        ("[1}", "incomplete or invalid JSON"),
        ("[", "Expecting value"),
        ("[1,", "Expecting value"),
        ("[1,]", "Expecting value"),
        ("[,1]", "Expecting value"),
        ("[1,\xa02]", "Expecting value"),
        ('[{"id":"a"', "delimiter"),
        ('["a', "Unterminated string"),
        ('["a\nb"]', "Invalid control character"),
        ('["a\rb"]', "Invalid control character"),
        (r'["\x"]', "escape"),
        (r'["\ud8"]', "escape"),
    ],
)
def test_a_page_that_is_not_a_json_array_is_refused_with_the_cause(page: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        split_page(page)


def test_records_are_identified_by_id_or_without_one_by_text_and_count() -> None:
    page = ['{"id":"a"}', '{"id":" a "}', "null", '{"name":"x"}', "null", "null", '{"name": "x"}']
    identities = [record.identity for record in split_page(f"[{','.join(page)}]")]
    assert identities[0] == identities[1]
    assert len(set(identities)) == len(page) - 1
    again = [record.identity for record in split_page(f"[{' , '.join(page)}]")]
    assert again == identities


def test_an_id_is_not_confused_with_a_record_that_has_the_same_text() -> None:
    page = '[null, {"id": "null"}, 42, {"id": 42}, {"id": "{}"}, {}, [], {"id": []}]'
    assert len({record.identity for record in split_page(page)}) == 8


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"id": "a"}, "a"),
        ({"id": "\u00a0\t a b \u2003\n"}, "a b"),
        ({"id": 42}, "42"),
        ({"id": 0}, "0"),
        ({"id": False}, "false"),
        ({"id": ""}, ""),
        ({"id": " \u2003"}, ""),
        ({"id": None}, ""),
        ({}, ""),
        (None, ""),
        (42, ""),
        ("id", ""),
        (["id"], ""),
    ],
)
def test_an_id_is_trimmed_text_and_empty_if_it_is_missing(value: Any, text: str) -> None:
    assert id_of(value) == text
