"""Every zip, unpacked where nothing is installed, called by AWS's own runtime client."""

import json
import os
import platform
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgeproxy.cli.main import main
from edgeproxy.packaging.functions import BY_NAME, FUNCTIONS

from .conftest import Answer, Aws, Source
from .runtime import running
from .test_balance import TICK, Api, api
from .test_functions import batch, edge, put, url
from .test_http_event import MAPPED

__all__ = ["api"]

pytestmark = pytest.mark.heavy

CACHE = Path(os.environ.get("EDGEPROXY_CACHE", "~/.cache/edgeproxy")).expanduser()  # noqa: TID251
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
ARCH = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "")


@pytest.fixture(scope="module")
def client() -> Path:
    folder = CACHE / "lambda"
    if not (folder / "awslambdaric").is_dir():
        if os.environ.get("EDGEPROXY_REQUIRE_SERVERS"):  # noqa: TID251
            pytest.fail(f"awslambdaric: is not in {folder}, want scripts/servers to have put it there")
        pytest.skip("awslambdaric is not there: scripts/servers installs it")
    return folder


CONFIG = """
admin: {token: not-for-functions}
origins:
  api: {type: pool, nodes: [{url: "${NODE:-http://127.0.0.1:9}", name: n}], checks: {path: /ping}}
default_behavior: {target_origin: api, cache_policy: CachingDisabled}
"""


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `edgeproxy package` says of each, for this Python on this machine."""
    folder = tmp_path_factory.mktemp("dist")
    (folder / "config.yaml").write_text(CONFIG)
    options = ["--cache", str(CACHE / "wheels"), "--config", str(folder / "config.yaml")]
    done = CliRunner().invoke(
        main, ["package", "--json", "--output", str(folder), "--python", PYTHON, "--arch", "x86_64", *options]
    )
    assert done.exit_code == 0, done.output
    return {told["function"]: told for told in json.loads(done.stdout)}


@pytest.fixture
def run(zips: dict[str, Any], client: Path, tmp_path: Path, aws: Aws, source: Source) -> Callable[..., Any]:
    def run(name: str, **environ: str) -> Any:
        folder = tmp_path / name
        with zipfile.ZipFile(zips[name]["path"]) as archive:
            archive.extractall(folder)
        given = {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "us-east-1",
            "s3_bucket": aws.bucket,
            "queue_url": aws.queue,
            **{
                f"endpoint_url_{service}": aws.endpoint for service in ("s3", "sqs", "cloudfront", "dynamodb")
            },
        }
        return running(folder, client, zips[name]["handler"], given | environ)

    return run


@pytest.mark.skipif(ARCH != "x86_64", reason="the zips are for x86_64")
class TestCalled:
    """As Lambda would."""

    def test_edge_origin_request(self, run: Callable[..., Any], aws: Aws) -> None:
        with run("edge_origin_request") as function:
            event = edge("origin-request", "/a", "custom")
            assert function.call(event) == event["Records"][0]["cf"]["request"]
            assert len(aws.messages()) == 1

    def test_queue_consumer(self, run: Callable[..., Any], aws: Aws, source: Source) -> None:
        source.answers["/a"] = Answer(b"a")
        source.answers["/b"] = Answer(b"", 500)
        with run("queue_consumer", external_endpoint=source.url) as function:
            for _ in range(2):
                failed = function.call(batch('{"v":1,"uri":"/a"}', '{"v":1,"uri":"/b"}'))
                assert failed == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
        assert aws.keys() == ["a"]

    def test_edge_origin_response(self, run: Callable[..., Any], aws: Aws, source: Source) -> None:
        source.answers["/a"] = source.answers["/b"] = Answer(b"made")
        with run("edge_origin_response", generator_url=source.url) as function:
            assert function.call(edge("origin-response", "/a", "s3", status="404"))["body"] == "bWFkZQ=="
            # Connections are still of use in the second call.
            assert function.call(edge("origin-response", "/b", "s3", status="403"))["status"] == "200"
        assert aws.keys() == ["a", "b"]

    def test_mirror_url(self, run: Callable[..., Any], aws: Aws, source: Source) -> None:
        source.answers["/a"] = Answer(b"a")
        with run(
            "mirror_url", external_endpoint=source.url, service_endpoint="https://c.example"
        ) as function:
            assert function.call(url("/a"))["headers"]["Location"] == "https://c.example/a"
            kind, told = function.ended({"no": "event"})
            assert (kind, told["errorType"]) == ("error", "EventError")
            assert told["errorMessage"].startswith("event: got ['no'], want that of a function URL")
        assert aws.keys() == ["a"]

    def test_invalidate_on_put(self, run: Callable[..., Any]) -> None:
        with run("invalidate_on_put", distribution_id="E1") as function:
            kind, told = function.ended(put("a"))
            assert (kind, told["errorType"]) == ("error", "NoSuchDistribution")

    def test_balance_and_canary(self, run: Callable[..., Any], api: Api) -> None:
        api.configure(shares=True)
        node = api.nodes["a"]
        with run("balance", NODE=node.url, health_table=api.table) as balance:
            assert balance.call(url("/x"))["body"] == '{"node":"a"}'
            # Connections, and what the table has, are still of use in the second call.
            assert balance.call(url("/x"))["statusCode"] == 200
            kind, told = balance.ended(MAPPED)
            assert (kind, told["errorType"]) == ("error", "MappedStatusError")
            assert told["errorMessage"].startswith('{"status": 403, "said": 403, "body": ')
        node.status = 500
        with run("canary", NODE=node.url, health_table=api.table) as canary:
            assert canary.call(TICK) == {"api/n": "down"}
        with run("balance", NODE=node.url, health_table=api.table) as balance:
            assert balance.call(url("/x"))["headers"]["Retry-After"] == "60"
        with run("canary", NODE=node.url) as canary:
            kind, told = canary.ended(TICK)
            assert (kind, told["errorType"]) == ("error", "SettingError")
        assert node.asked == ["GET /x", "GET /x"]


def test_only_what_pools_need_is_in_a_zip(zips: dict[str, Any]) -> None:
    for name, told in zips.items():
        with zipfile.ZipFile(told["path"]) as archive:
            baked = archive.read("edgeproxy.json") if "edgeproxy.json" in archive.namelist() else b""
        assert (b"${NODE:-" in baked) == (name in ("balance", "canary"))
        assert b"not-for-functions" not in baked


def test_every_function_is_called_here() -> None:
    tests = [name.removeprefix("test_") for name in dir(TestCalled) if name.startswith("test_")]
    assert {name for test in tests for name in test.split("_and_")} == set(BY_NAME)


def test_how_large_they_are_and_how_long_they_take_to_start(
    zips: dict[str, Any], run: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for function in FUNCTIONS:
        told = zips[function.name]
        with run(function.name) as started:
            size = f"{told['bytes'] / 1e6:5.1f} MB zipped, {told['unpacked_bytes'] / 1e6:5.1f} MB"
            with capsys.disabled():
                print(f"\n{function.name:<22} {size}, {started.cold_s:.2f} s until the first event", end="")
        assert told["bytes"] < 50e6


def test_the_same_contents_make_the_same_zip(zips: dict[str, Any], tmp_path: Path) -> None:
    cache = ["--cache", str(CACHE / "wheels")]
    done = CliRunner().invoke(
        main,
        ["package", "--output", str(tmp_path), "--python", PYTHON, *cache, "mirror_url"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert (tmp_path / "mirror_url.zip").read_bytes() == Path(zips["mirror_url"]["path"]).read_bytes()


@pytest.mark.parametrize(("python", "arch"), [("3.12", "x86_64"), ("3.13", "arm64"), ("3.14", "x86_64")])
def test_for_other_machines_than_this(python: str, arch: str, tmp_path: Path) -> None:
    cache = ["--cache", str(CACHE / "wheels")]
    done = CliRunner().invoke(
        main, ["package", "--output", str(tmp_path), "--python", python, "--arch", arch, *cache, "mirror_url"]
    )
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(tmp_path / "mirror_url.zip") as archive:
        made = [name for name in archive.namelist() if name.endswith(".so")]
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[arch]
    assert made
    assert all(f"cpython-{python.replace('.', '')}-{machine}" in name for name in made)


def test_nothing_is_left_of_a_zip_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "mirror_url.zip").mkdir()
    cache = ["--cache", str(CACHE / "wheels")]
    done = CliRunner().invoke(
        main, ["package", "--output", str(tmp_path), "--python", PYTHON, *cache, "mirror_url"]
    )
    assert done.exit_code == 1
    assert done.stderr.endswith("mirror_url.zip: Is a directory\n")
    assert [path.name for path in tmp_path.iterdir()] == ["mirror_url.zip"]
    shutil.rmtree(tmp_path)
