"""How numbers look to people."""

import pytest

from edgeproxy.bulk.summary import Progress
from edgeproxy.cli.look import duration, far_text, size


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 * 2**30, "5.0 GiB"),
        (2**41, "2.0 TiB"),
        (2**52, "4096.0 TiB"),
    ],
)
def test_sizes(octets: int | None, text: str) -> None:
    assert size(octets) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0 ms"),
        (0.25, "250 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (90061.0, "25 h 01 min"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_how_far_it_is() -> None:
    assert far_text(Progress("reading", 2_000, None, 0, 0, 2.0, 0)) == "2,000, 1,000/s"
    far = Progress("copying", 600, 1_000, 3 * 2**20, 2, 10.0, 500)
    assert far_text(far) == "600 of 1,000, 3.0 MiB, 10/s, 2 failed, 40.0 s left"
    assert far_text(Progress("copying", 0, 10, 0, 0, 0.0, 0)) == "0 of 10, 0/s"
