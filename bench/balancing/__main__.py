"""Run all scenarios with all algorithms, print the table, and draw it.

python -m bench.balancing [--seconds 60] [--seeds 4] [--picture docs/balancing.svg]
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

from bench.balancing.picture import picture
from bench.balancing.pool import MANNERS, Manner
from bench.balancing.scenarios import SCENARIOS, Result, Scenario, merged, run


def measured(scenario: Scenario, manner: Manner, seeds: int, seconds: float) -> Result:
    """One cell of the table."""
    return merged([run(scenario, manner, seed, seconds) for seed in range(1, seeds + 1)])


def _cell(number: int, seeds: int, seconds: float) -> Result:
    scenario, manner = list(product(SCENARIOS, MANNERS))[number]
    return measured(scenario, manner, seeds, seconds)


def table(results: dict[Scenario, dict[str, Result]]) -> str:
    """Markdown: p50 / p99 in milliseconds, and the share without a right answer if it is 0.05 %."""

    def cell(result: Result) -> str:
        told = f"{1000 * result.quantile_s(0.5):.0f} / {1000 * result.quantile_s(0.99):.0f}"
        return told + (f" ({100 * result.errors:.1f} %)" if result.errors >= 0.0005 else "")

    lines = [
        "| | " + " | ".join(scenario.name for scenario in results) + " |",
        "|---" * (len(results) + 1) + "|",
    ]
    for manner in MANNERS:
        cells = (cell(of_manner[manner.name]) for of_manner in results.values())
        lines.append(f"| {manner.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    with ProcessPoolExecutor() as executor:
        cell = partial(_cell, seeds=options.seeds, seconds=options.seconds)
        cells = iter(executor.map(cell, range(len(SCENARIOS) * len(MANNERS))))
        results = {scenario: {manner.name: next(cells) for manner in MANNERS} for scenario in SCENARIOS}
    print(table(results))
    if options.picture is not None:
        options.picture.write_text(picture(results))


if __name__ == "__main__":
    main()
