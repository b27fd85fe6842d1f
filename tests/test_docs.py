"""README.md and docs/: what they name is there, and what they show is so."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from edgeproxy.cli.main import main
from edgeproxy.config import parse

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

ENVIRON = {
    "S3_ACCESS_KEY_ID": "key",
    "S3_SECRET_ACCESS_KEY": "secret",
    "ADMIN_TOKEN": "t" * 32,
    "EVENTS_TOKEN": "e" * 32,
    "TOKEN": "token",
}
AROUND: dict[str, Any] = {
    "origins": {
        "bucket": {"type": "s3", "bucket": "assets", "region": "eu-west-1", "credentials": "anonymous"},
        **{
            name: {"type": "http", "url": f"https://{name}.example.com"}
            for name in ("site", "studio", "archive", "nodes", "app")
        },
    },
    "origin_groups": {"media": {"members": ["bucket", "site"], "failover_on": [403, 404]}},
    "default_behavior": {"target_origin": "media"},
}
"""What snippets leave out."""


def blocks(page: Path, language: str) -> Iterator[tuple[str, str]]:
    """The blocks of `language`, each with the number of its line."""
    text = page.read_text()
    for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}", found[1]


def whole(snippet: dict[str, Any]) -> dict[str, Any]:
    """A configuration with `snippet` in it."""
    if "checks" in snippet:
        nodes = [{"url": "https://a.example.com", "name": "a"}]
        snippet = {"origins": {"api": {"type": "pool", "nodes": nodes, **snippet}}}
    merged = {**AROUND, **snippet}
    for name in ("origins", "origin_groups"):
        merged[name] = {**AROUND[name], **snippet.get(name, {})}
    return merged


SNIPPETS = [pytest.param(text, id=where) for page in PAGES for where, text in blocks(page, "yaml")]


@pytest.mark.parametrize("text", SNIPPETS)
def test_a_snippet_is_a_configuration(text: str) -> None:
    parse(yaml.safe_dump(whole(yaml.safe_load(text))), ENVIRON)


def said_commands() -> Iterator[Any]:
    for page in PAGES:
        for language in ("console", "sh"):
            for where, text in blocks(page, language):
                prompt = r"\$ " if language == "console" else ""
                for line in re.findall(rf"^{prompt}(edgeproxy .*)", text, re.MULTILINE):
                    yield pytest.param(line, id=f"{where} {line[:40]}")


@pytest.mark.parametrize("line", list(said_commands()))
def test_a_command_and_its_options_are_there(line: str) -> None:
    command: click.Command = main
    context = click.Context(main)
    for word in shlex.split(line, comments=True)[1:]:
        if isinstance(command, click.Group):
            found = command.get_command(context, word)
            assert found is not None, word
            command = found
        elif word.startswith("-"):
            options = {name for one in command.params for name in one.opts}
            assert word in options, f"{word} of {sorted(options)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_modules_on_the_way_of_a_request_are_there() -> None:
    text = (ROOT / "docs" / "life-of-a-request.md").read_text()
    code = ROOT / "edgeproxy"
    folders = "|".join(sorted(one.name for one in code.iterdir() if (one / "__init__.py").exists()))
    named = set(re.findall(rf"\b((?:{folders})(?:/[a-z_0-9]+)+)", text))
    assert len(named) > 40
    assert not [one for one in named if not (code / f"{one}.py").exists() and not (code / one).is_dir()]


BROKEN = """
server: {lisen: 127.0.0.1:8080, idle_timeout: 30}
origins:
  bucket: {type: s3, bucket: assets, credentials: {access_key_id: "${S3_KEY}", secret_access_key: secret}}
origin_groups: {media: {members: [bucket, sit], failover_on: [403, 405]}}
default_behavior: {target_origin: media, cache_policy: CachingOptimised}
"""


def test_mistakes_are_told_as_the_readme_shows(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)
    told = CliRunner().invoke(main, ["check", "--config", str(path)], env={"S3_KEY": None}).output
    shown = [text for _, text in blocks(PAGES[0], "console") if "broken.yaml" in text]
    assert shown == ["$ edgeproxy check --config broken.yaml\n" + told.replace(str(path), "broken.yaml")]
