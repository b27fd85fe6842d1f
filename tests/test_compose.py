"""docker-compose.yml: what can be told without an engine."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeproxy.config import load
from edgeproxy.config.origins import S3Origin
from tests.servers.server import cache_folder

ROOT = Path(__file__).parent.parent


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_no_image_is_one_that_can_no_longer_be_pulled(compose: dict[str, Any]) -> None:
    images = {service["image"] for service in compose["services"].values()}
    assert not [image for image in images if "minio/minio" in image]
    assert all(":" in image for image in images), "pinned by a tag"


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8080:8080"]


def test_the_gateways_environment_makes_a_configuration(compose: dict[str, Any]) -> None:
    told = compose["services"]["gateway"]["environment"]
    plain = {name: value for name, value in told.items() if "${" not in value}
    config = load(ROOT / "config.yaml", plain)
    bucket = config.origins["bucket"]
    assert isinstance(bucket, S3Origin)
    assert (str(config.server.listen), bucket.endpoint) == ("0.0.0.0:8080", "http://s3:9000")


@pytest.mark.servers
def test_docker_compose_accepts_it() -> None:
    command = ["docker", "compose"]
    if subprocess.run([*command, "version"], capture_output=True, check=False).returncode != 0:
        command = [str(cache_folder() / "bin" / "docker-compose")]
        if shutil.which(command[0]) is None:
            required = os.environ.get("EDGEPROXY_REQUIRE_SERVERS")  # noqa: TID251
            (pytest.fail if required else pytest.skip)(f"{command[0]} is not there: run scripts/servers")
    done = subprocess.run(
        [*command, "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
