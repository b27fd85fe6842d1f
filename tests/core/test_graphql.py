"""Documents that only read, and those of which that cannot be said.  GraphQL specification, October 2021."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.graphql import only_reads


@pytest.mark.parametrize(
    "document",
    [
        "{ a }",  # §2.3: the short form
        "query { a }",
        "query A { a } query B { b }",
        "query query { query }",
        "fragment mutation on query { mutation } { ...mutation }",
        'query A($x: Int = 1, $y: In = {z: ["}"]}) @d(a: "mutation {") { a(x: $x) { b c } }',
        "# mutation { a }\n{ a }",
        '{ a(s: "mutation { b }") }',
        '{ a(s: """ " \\""" mutation { """) }',
        '{ a(s: "") b(s: """""") }',
        "\ufeff,,, { a }",  # §2.1.1, §2.1.7
        "{ a(x: -1.5e+3) @include(if: $b) ... on T { c } }",
    ],
)
def test_what_only_reads(document: str) -> None:
    assert only_reads(document)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "# nothing",
        "mutation { a }",
        "subscription { a }",
        "query A { a } mutation B { b }",  # §2.3: which of them is run is said elsewhere
        "{ a } mutation { b }",
        "fragment F on T { a }",
        "extend schema { mutation: M }",
        "type T { a: Int }",
        '"a description" query { a }',
        "query { a",
        "query a }",
        "{ a )",
        "{ a } }",
        '{ a(s: "not closed) }',
        '{ a(s: """not closed\\""") }',
        '{ a(s: "a\nb") }',
        "{ a \x00 }",
        "{ a; b }",
        "query",
        "# {\rmutation { a }",  # §2.1.2: a carriage return ends a line too
        "QUERY { a }",
        "querymutation { a }",
    ],
)
def test_what_may_do_more(document: str) -> None:
    assert not only_reads(document)


_READS = ("{ a }", "query Q { b(x: 1) }", "fragment F on T { c }")


@given(
    st.lists(st.sampled_from([*_READS, "mutation M { d }", "subscription { e }"]), min_size=1),
    st.sampled_from([" ", "\n", ",", "# }\n", "\r\n"]),
)
def test_one_operation_that_does_more_is_enough(definitions: list[str], between: str) -> None:
    reads = all(one in _READS for one in definitions) and any(one in _READS[:2] for one in definitions)
    assert only_reads(between.join(definitions)) is reads


@given(st.text(alphabet='{}()[]"\\# \nqa', max_size=40))
def test_what_is_in_a_string_or_a_comment_decides_nothing(text: str) -> None:
    quoted = text.replace("\\", "").replace('"', "").replace("\n", "")
    assert only_reads(f'{{ a(s: "{quoted}") }}')
    assert only_reads(f"# {quoted}\n{{ a }}")
    assert not only_reads(f'mutation {{ a(s: "{quoted}") }}')


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    assert only_reads(text) in (True, False)
    assert not only_reads(f"mutation {{ a }} {text}")
