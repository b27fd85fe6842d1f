"""How commands ask the running gateway."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeproxy.cli import common
from edgeproxy.cli.main import main


class Slow(BaseHTTPRequestHandler):
    """Takes its time over what it is to change."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(0.2)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"queued": 1000000}')

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    server = HTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = tmp_path / "config.yaml"
    path.write_text(f"""
origins: {{site: {{type: http, url: "http://localhost"}}}}
default_behavior: {{target_origin: site}}
admin: {{listen: "127.0.0.1:{server.server_port}"}}
""")
    yield path
    server.shutdown()
    server.server_close()


def test_what_takes_long_is_waited_for(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million jobs are not tried again in a moment; that there is no gateway would be a lie."""
    monkeypatch.setattr(common, "_PATIENCE_S", 0.05)
    ran = CliRunner().invoke(main, ["backfill", "retry", "-c", str(config), "--state", "dead"])
    assert (ran.exit_code, ran.output) == (0, "queued again: 1000000\n")


def test_explain_leaves_nothing_behind_where_no_gateway_runs(tmp_path: Path, free_port: int) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"""
origins:
  bucket: {{type: s3, bucket: assets, endpoint: "http://127.0.0.1:9", credentials: anonymous}}
  site: {{type: http, url: "http://localhost"}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [404]}}}}
default_behavior: {{target_origin: media}}
backfill: {{rules: [{{}}]}}
state: {{folder: "{tmp_path}/state"}}
cache: {{disk: {{folder: "{tmp_path}/cache", size: 1GiB}}}}
admin: {{listen: "127.0.0.1:{free_port}"}}
""")
    ran = CliRunner().invoke(main, ["explain", "-c", str(path), "/a.jpg"])
    assert ran.exit_code == 0, ran.output
    assert "backfill" in ran.stdout
    assert ran.stderr.endswith(": cache, queue and tombstones are taken to be empty\n")
    assert list(tmp_path.iterdir()) == [path]


def test_a_package_with_a_configuration_that_has_no_pool(config: Path) -> None:
    done = CliRunner().invoke(main, ["package", "--config", str(config), "balance"])
    assert (done.exit_code, done.output) == (
        2,
        f"{config}: origins: got no pool, want an origin of type pool\n",
    )


PLAIN = """
origins: {{site: {{type: http, url: "http://localhost"}}}}
default_behavior: {{target_origin: site}}
server: {{listen: "127.0.0.1:{viewers}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
"""


@pytest.mark.parametrize(
    "command", [["status"], ["purge", "/a"], ["pool", "ls"], ["backfill", "ls"]], ids=lambda words: words[0]
)
def test_where_no_gateway_runs(tmp_path: Path, free_port: int, command: list[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(PLAIN.format(viewers=0, admin=free_port))
    ran = CliRunner().invoke(main, [*command, "-c", str(path)])
    assert (ran.exit_code, ran.output) == (
        1,
        f"no gateway answers on http://127.0.0.1:{free_port}, the admin.listen of {path}: "
        "edgeproxy serve starts one, --config names another's\n",
    )


def test_where_there_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    ran = CliRunner().invoke(main, ["serve", "-c", str(path)])
    assert (ran.exit_code, ran.output) == (
        2,
        f"{path}: file: no such file or directory, want a readable file; --config names another\n",
    )


@pytest.mark.parametrize("setting", ["server", "admin"])
def test_a_port_in_use_is_told_with_its_setting(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "config.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"viewers": 0, "admin": 0, {"server": "viewers"}.get(setting, setting): port}
        path.write_text(PLAIN.format(**ports))
        ran = CliRunner().invoke(main, ["serve", "-c", str(path)])
    assert ran.exit_code == 2
    assert ran.output.startswith(f"{path}: {setting}.listen: cannot listen on 127.0.0.1:{port} (")


def test_a_port_that_is_none() -> None:
    ran = CliRunner().invoke(main, ["lab", "--port", "99999"])
    assert (ran.exit_code, "--port" in ran.output) == (2, True)


@pytest.mark.parametrize("command", [[], ["backfill"], ["pool"]], ids=str)
def test_lists_of_commands_say_whole_sentences(command: list[str]) -> None:
    said = CliRunner().invoke(main, [*command, "--help"], terminal_width=80).output
    listed = said.partition("Commands:\n")[2].splitlines()
    assert listed
    assert not [line for line in listed if not line.endswith(".") or line.endswith("...")]
