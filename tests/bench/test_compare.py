"""What bench/compare makes of figures: a table, a picture, and what wrk says as numbers."""

from xml.etree import ElementTree

import pytest

from bench.compare.load import Load, load_of
from bench.compare.picture import picture
from bench.compare.rows import EDGEPROXY, NGINX, NGINX_TWO, ROWS, TWO, Figures, table

SAID = """Running 1s test @ http://127.0.0.1:19401/hit/1024
  1 threads and 64 connections
  Latency Distribution
     50%  812.00us
     75%    1.10ms
     90%    1.60ms
     99%    1.20s
  61234 requests in 1.00s, 71.23MB read
Requests/sec:  61012.34
Transfer/sec:     70.99MB
"""


def test_what_wrk_says_as_numbers() -> None:
    assert load_of(SAID) == Load(61012.34, 61234, pytest.approx(0.812), 1200.0)


@pytest.mark.parametrize("wrong", ["Non-2xx or 3xx responses: 3", "Socket errors: connect 1"])
def test_a_run_with_errors_is_none(wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        load_of(SAID + wrong)
    with pytest.raises(ValueError, match="nonsense"):
        load_of("nonsense")


def figures() -> list[Figures]:
    rates = Figures("hit, 1 KiB", "a second")
    for server, values in ((NGINX, (90.0, 100.0, 5_000.0)), (EDGEPROXY, (150.0, 10.0, 200.0))):
        for value in values:
            rates.add(server, value)
    costs = Figures("two <processes>", "ms", is_more_better=False)
    costs.add(NGINX_TWO, 30.0)
    costs.add(TWO, 10.0)
    return [rates, costs]


def test_the_table_has_medians_and_how_much_better_ours_is() -> None:
    assert table(figures()).splitlines()[2:] == [
        "| hit, 1 KiB | a second | nginx | 100 | 1.50 |",
        "| hit, 1 KiB | a second | edgeproxy | 150 |  |",
        "| two <processes> | ms | nginx, 2 workers | 30.00 | 3.00 |",
        "| two <processes> | ms | edgeproxy, 2 workers | 10.00 |  |",
    ]


def test_the_picture_has_a_bar_for_each_and_the_longest_is_the_most() -> None:
    root = ElementTree.fromstring(picture(figures()))
    bars = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if one.get("rx")]
    assert [(one.get("class"), int(one.get("width") or 0)) for one in bars] == [
        ("bar", 280),
        ("ours", 420),
        ("bar", 420),
        ("ours", 140),
    ]


def test_each_row_has_ours_beside_another() -> None:
    for row in ROWS:
        assert any(server.startswith(EDGEPROXY) for server in row.servers)
        assert any(not server.startswith(EDGEPROXY) for server in row.servers)
    assert len({row.name for row in ROWS}) == len(ROWS)
