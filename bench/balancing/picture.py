"""The results as a picture: SVG by hand, one panel a scenario, readable in light and in dark."""

from collections.abc import Mapping
from html import escape
from math import log

from bench.balancing.pool import PATIENCE_S
from bench.balancing.scenarios import Result, Scenario

_COLUMNS = 2
_WIDTH, _ROW, _HEAD, _FOOT, _GAP = 470, 17, 46, 24, 22
_PLOT_FROM, _PLOT_TO = 144, 404
_TOP = 62
_LEAST_S = 0.025
_TICKS = ((0.03, "30 ms"), (0.1, "100 ms"), (0.3, "300 ms"), (1.0, "1 s"), (3.0, "3 s"))
_BEST = "p2c-ewma, hedged"

_STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f; }
  .page { fill: #ffffff; } .title { font-size: 16px; font-weight: 600; }
  .name { font-size: 13px; font-weight: 600; }
  .faint { fill: #656d76; font-size: 11px; } .wrong { fill: #b42318; font-size: 11px; }
  .grid { stroke: #d8dee4; stroke-width: 1; } .span { stroke: #9aa4af; stroke-width: 2; }
  .p50 { fill: #ffffff; stroke: #6e7781; stroke-width: 1.5; } .p99 { fill: #6e7781; }
  .best .span { stroke: #1a7f5a; stroke-width: 3; }
  .best .p50 { stroke: #1a7f5a; } .best .p99 { fill: #1a7f5a; }
  .best text { font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .page { fill: #0d1117; } .faint { fill: #9198a1; } .wrong { fill: #ff8f85; }
    .grid { stroke: #2a313a; } .span { stroke: #6e7781; } .p50 { fill: #0d1117; stroke: #9aa4af; }
    .p99 { fill: #9aa4af; }
    .best .span { stroke: #3fb98a; } .best .p50 { stroke: #3fb98a; } .best .p99 { fill: #3fb98a; }
  }
"""


def picture(results: Mapping[Scenario, Mapping[str, Result]]) -> str:
    """An SVG document: of each scenario and each manner, from the median to the 99th percentile."""
    rows = max(len(of_manner) for of_manner in results.values())
    height = _HEAD + rows * _ROW + _FOOT
    down = -(-len(results) // _COLUMNS)
    width, total = _COLUMNS * _WIDTH + 20, _TOP + down * (height + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" role="img"'
        ' aria-label="How long clients wait, by algorithm and scenario">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{total}"/>',
        '<text class="title" x="20" y="28">How long clients wait, by algorithm</text>',
        '<g transform="translate(20 47)"><circle class="p50" cx="5" cy="-4" r="3.5"/>'
        '<text class="faint" x="14">half are answered (p50)</text>'
        '<circle class="p99" cx="163" cy="-4" r="4"/>'
        '<text class="faint" x="172">99 of 100 are (p99)</text>'
        '<text class="faint" x="290">no right answer counts as 3 s; red: share of such requests</text></g>',
    ]
    for number, (scenario, of_manner) in enumerate(results.items()):
        x, y = 20 + number % _COLUMNS * _WIDTH, _TOP + number // _COLUMNS * (height + _GAP)
        parts += [f'<g transform="translate({x} {y})">', *_panel(scenario, of_manner), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(scenario: Scenario, of_manner: Mapping[str, Result]) -> list[str]:
    bottom = _HEAD + len(of_manner) * _ROW
    parts = [
        f'<text class="name" y="16">{escape(scenario.name)}</text>',
        f'<text class="faint" y="32">{escape(scenario.tells)}</text>',
    ]
    for seconds, label in _TICKS:
        x = _place(seconds)
        parts.append(f'<line class="grid" x1="{x}" y1="{_HEAD - 4}" x2="{x}" y2="{bottom}"/>')
        parts.append(f'<text class="faint" x="{x}" y="{bottom + 14}" text-anchor="middle">{label}</text>')
    for number, (name, result) in enumerate(of_manner.items()):
        parts += _row(name, result, _HEAD + number * _ROW + 9)
    return parts


def _row(name: str, result: Result, y: int) -> list[str]:
    p50, p99 = _place(result.quantile_s(0.5)), _place(result.quantile_s(0.99))
    parts = [
        f'<g class="{"best" if name == _BEST else "other"}">',
        f'<text x="{_PLOT_FROM - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>',
        f'<line class="span" x1="{p50}" y1="{y}" x2="{p99}" y2="{y}"/>',
        f'<circle class="p50" cx="{p50}" cy="{y}" r="3.5"/><circle class="p99" cx="{p99}" cy="{y}" r="4"/>',
    ]
    if result.errors >= 0.0005:
        parts.append(
            f'<text class="wrong" x="{_PLOT_TO + 10}" y="{y + 4}">{100 * result.errors:.1f} %</text>'
        )
    return [*parts, "</g>"]


def _place(seconds: float) -> float:
    share = log(max(seconds, _LEAST_S) / _LEAST_S) / log(PATIENCE_S / _LEAST_S)
    return round(_PLOT_FROM + share * (_PLOT_TO - _PLOT_FROM), 1)
