"""The file, the environment, and any input whatsoever."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeproxy.config import Config, ConfigError, load, parse
from edgeproxy.config.effective import effective, json_schema
from edgeproxy.config.manual import markdown
from tests.config.conftest import SMALL


def test_a_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(SMALL.replace("assets", '"${BUCKET}"'), encoding="utf-8")
    config = load(path, {"BUCKET": "photos"})
    assert config == parse(SMALL.replace("assets", "photos"), {})


def test_the_environment_is_the_process_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(SMALL.replace("assets", '"${EDGEPROXY_TEST}"'), encoding="utf-8")
    monkeypatch.setenv("EDGEPROXY_TEST", "photos")
    assert load(path) == parse(SMALL.replace("assets", "photos"), {})


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing, folder, binary = tmp_path / "none.yaml", tmp_path, tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff\xfe")
    for path, line in (
        (missing, "file: no such file or directory, want a readable file"),
        (folder, "file: is a directory, want a readable file"),
        (binary, "file: is not UTF-8, want a YAML file in UTF-8"),
        (Path("a\0b"), "file: embedded null byte, want a readable file"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        assert str(caught.value) == f"{path}: {line}"


def test_an_unset_variable_is_told_and_nothing_else_of_that_value() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f'{SMALL}\nserver: {{listen: "${{A}}", aliases: ["${{B}}", "${{C}}"]}}\nlog: {{format: x}}', {})
    assert [mistake.where for mistake in caught.value.mistakes] == [
        "server.listen",
        "server.aliases[0]",
        "server.aliases[1]",
        "log.format",
    ]


# Words of the schema, values near to right ones, and the oddest that YAML has.
KEYS = sorted({name for about in json_schema()["$defs"].values() for name in about["properties"]})
SCALARS = [
    *(
        "s3",
        "http",
        "http://a",
        "http://u:hunter2@a",
        "none",
        "all",
        "default",
        "anonymous",
        "CachingOptimized",
    ),
    *(
        "GET",
        "POST",
        "/a",
        "*",
        "1MiB",
        "30s",
        "127.0.0.1:80",
        "0.0.0.0:8080",
        "10.0.0.0/8",
        "404",
        "true",
        "text",
    ),
    *(
        "bucket",
        "site",
        "media",
        "${A}",
        "${B:-x}",
        "${",
        "$$",
        "<<",
        "~",
        "",
        "0",
        "hunter2 hunter2",
        "2001-01-01",
    ),
    *("9" * 400, "9" * 400 + "d", "1e999", ".nan", "-.inf", "0x10", "\n", "\t", "\x85", "é", "\U0001f600"),
]
VALUES = (
    st.sampled_from(SCALARS)
    | st.text()
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=4)
)
TREES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*KEYS, "a", "bucket", "site"]) | st.text(max_size=3) | st.integers(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@st.composite
def changed(draw: st.DrawFn) -> Any:
    """A configuration that holds, with a few places in it replaced, dropped or added to."""
    document = yaml.safe_load(SMALL) | {
        "server": {"listen": "127.0.0.1:1"},
        "admin": {"token": "t"},
        "cache": {"memory": "1MiB"},
        "cache_policies": {"p": {"query": {"whitelist": ["a"]}, "min_ttl": "1s"}},
        "origin_request_policies": {"r": {"headers": "all"}},
        "behaviors": [{"path_pattern": "/a", "target_origin": "site", "cache_policy": "p"}],
        "backfill": {"rules": [{"path_pattern": "/a"}]},
    }
    for _ in range(draw(st.integers(1, 3))):
        node: Any = document
        while True:
            if not node or not isinstance(node, dict | list):
                break
            key = draw(
                st.sampled_from(sorted(node, key=repr) if isinstance(node, dict) else range(len(node)))
            )
            if isinstance(node[key], dict | list) and node[key] and draw(st.integers(0, 3)):
                node = node[key]
                continue
            if isinstance(node, dict) and draw(st.booleans()):
                key = draw(st.sampled_from(KEYS))
            node[key] = draw(TREES)
            break
    return document


def outcome(text: str, environ: dict[str, str]) -> Config | str:
    try:
        return parse(text, environ, source="c")
    except ConfigError as error:
        assert error.mistakes  # noqa: PT017
        return str(error)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=100)
@given(TREES | changed(), st.dictionaries(st.sampled_from(["A", "B"]), st.text()))
def test_any_tree_is_a_configuration_or_lines_about_it(tree: Any, environ: dict[str, str]) -> None:
    told = outcome(yaml.safe_dump(tree, allow_unicode=True), environ)
    if isinstance(told, Config):
        assert isinstance(parse(effective(told), {}), Config)
    else:
        for line in told.split("\n"):
            assert line.startswith("c: ")
            assert line.isprintable()
            assert len(line) < 600


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_configuration_or_lines_about_it(text: str) -> None:
    told = outcome(text, {})
    assert isinstance(told, str)
    assert all(line.isprintable() for line in told.split("\n"))


def bucket(**settings: Any) -> Any:
    return {"origins": {"bucket": {"type": "s3", "bucket": "assets", **settings}}}


SECRET_PLACES = {
    "token": {"admin": {"token": "SECRET"}},
    "admin": {"admin": "SECRET"},
    "token of events": {"events": {"token": "SECRET"}},
    "key": bucket(credentials={"access_key_id": "a", "secret_access_key": "SECRET"}),
    "session": bucket(credentials={"session_token": "SECRET"}),
    "credentials": bucket(credentials="SECRET"),
    "header": bucket(custom_headers={"X-A": "SECRET"}),
    "headers": bucket(custom_headers="SECRET"),
    "origin": {"origins": {"bucket": "SECRET"}},
    "unknown": bucket(secret="SECRET"),
}
SECRETS = [
    *("hunter2", " hunter2", "hunter2\n", "hünter2 hunter2", "${X-hunter2}", "${X:-hunter2} "),
    *(["hunter2"], {"a": "hunter2"}, {"a": ["hunter2"]}),
]


@pytest.mark.parametrize("tree", SECRET_PLACES.values(), ids=SECRET_PLACES)
@pytest.mark.parametrize("secret", SECRETS, ids=repr)
def test_no_secret_is_in_a_message_or_in_the_effective_configuration(tree: Any, secret: Any) -> None:
    def put(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: put(value) for key, value in node.items()}
        return secret if node == "SECRET" else node

    text = yaml.safe_dump({**yaml.safe_load(SMALL), **put(tree)})
    told = outcome(text, {})
    shown = told if isinstance(told, str) else effective(told) + repr(told)
    assert "hunter2" not in shown


def test_the_example_of_the_manual_holds() -> None:
    assert isinstance(parse(markdown().split("```yaml\n")[1].split("```")[0], {}), Config)
