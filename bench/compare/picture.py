"""The figures as a picture: SVG by hand, bars in groups, readable in light and in dark."""

from html import escape

from bench.compare.rows import EDGEPROXY, Figures

_WIDTH, _NAME, _BARS, _ROW, _TOP = 860, 190, 420, 17, 62
_STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f; }
  .page { fill: #ffffff; } .title { font-size: 16px; font-weight: 600; }
  .name { font-size: 13px; font-weight: 600; } .faint { fill: #656d76; font-size: 11px; }
  .bar { fill: #9aa4af; } .ours { fill: #1a7f5a; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .page { fill: #0d1117; } .faint { fill: #9198a1; }
    .bar { fill: #6e7781; } .ours { fill: #3fb98a; }
  }
"""


def picture(figures: list[Figures]) -> str:
    """An SVG document: of each row a group of bars, the longest of which is as wide as there is room."""
    y, parts = _TOP, []
    for one in figures:
        parts += _group(one, y)
        y += 24 + _ROW * len(one.rounds) + 12
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img"'
        ' aria-label="edgeproxy beside nginx and Varnish">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{y}"/>',
        '<text class="title" x="20" y="28">edgeproxy beside nginx and Varnish</text>',
        '<text class="faint" x="20" y="46">medians; each group has a scale of its own</text>',
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _group(figures: Figures, y: int) -> list[str]:
    medians = figures.medians()
    most = max(medians.values(), default=0) or 1
    better = "more is better" if figures.is_more_better else "less is better"
    parts = [
        f'<text class="name" x="20" y="{y + 12}">{escape(figures.name)}</text>',
        f'<text class="faint" x="{_NAME + _BARS}" y="{y + 12}" text-anchor="end">'
        f"{escape(figures.unit)}, {better}</text>",
    ]
    for number, (server, value) in enumerate(medians.items()):
        top = y + 22 + number * _ROW
        width = max(1, round(value / most * _BARS))
        shown = f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
        kind = "ours" if server.startswith(EDGEPROXY) else "bar"
        parts += [
            f'<text x="{_NAME - 10}" y="{top + 10}" text-anchor="end">{escape(server)}</text>',
            f'<rect class="{kind}" x="{_NAME}" y="{top}" width="{width}" height="12" rx="2"/>',
            f'<text class="faint" x="{_NAME + width + 8}" y="{top + 10}">{shown}</text>',
        ]
    return parts
