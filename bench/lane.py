"""Hits side by side with nginx's `proxy_cache`: one process each, one origin, taking turns in one run.

Starts a bare-protocol origin, nginx with one worker and `edgeproxy serve` on loopback, drives `wrk` at each
in turn, and prints medians: requests a second, and the processor time that a request takes of the server,
which other work on the machine moves less. Needs wrk and nginx (Debian: wrk, nginx-light).

    python -m bench.lane [--rounds 5] [--seconds 3] [--json FILE]
"""

import argparse
import json
import multiprocessing
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bench.roads import ADMIN, ORIGIN, VIEWERS, serve_origin

NGINX = 19403
CONFIG = f"""
server: {{listen: "127.0.0.1:{VIEWERS}"}}
admin: {{listen: "127.0.0.1:{ADMIN}"}}
log: {{access: ACCESS}}
origins: {{site: {{type: http, url: "http://127.0.0.1:{ORIGIN}"}}}}
cache_policies: {{plain: {{min_ttl: 0}}}}
default_behavior: {{target_origin: site, cache_policy: plain}}
"""
NGINX_CONFIG = f"""
worker_processes 1; daemon off; pid FOLDER/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on;
  proxy_cache_path FOLDER/nginx keys_zone=cache:10m max_size=200m;
  server {{
    listen 127.0.0.1:{NGINX};
    location / {{
      proxy_pass http://127.0.0.1:{ORIGIN};
      proxy_cache cache;
      add_header X-Cache $upstream_cache_status;
    }}
  }}
}}
"""
# As many browsers as there are people: each request has a User-Agent and a cookie of its own.
VARIED = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/" .. number
  wrk.headers["Cookie"] = "session=" .. number
  wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
  wrk.headers["Accept-Language"] = "en-US,en;q=0.5"
  return wrk.format("GET", wrk.path)
end
"""
# Name, whether the access log is on, path, script.
CASES = (
    ("1 KiB", False, "/hit/1024", ""),
    ("10 KiB", False, "/hit/10240", ""),
    ("1 MiB", False, "/hit/1048576", ""),
    ("1 KiB, another head each time", False, "/hit/1024", VARIED),
    ("1 KiB, with our access log on", True, "/hit/1024", ""),
    ("1 KiB, log on, another head each time", True, "/hit/1024", VARIED),
)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """One of the two."""

    name: str
    port: int
    pid: int

    def spent_s(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def measured(server: Server, path: str, script: str, seconds: int) -> tuple[float, float]:
    """Requests a second, and microseconds of processor time a request."""
    command = ["wrk", "-t1", "-c64", f"-d{seconds}", f"http://127.0.0.1:{server.port}{path}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        before = server.spent_s()
        said = subprocess.run(
            [*command, *(["-s", file.name] if script else [])], capture_output=True, text=True, check=True
        ).stdout
        spent = server.spent_s() - before
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    rate, total = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    assert rate is not None, said
    assert total is not None, said
    return float(rate[1]), spent / int(total[1]) * 1e6


def started_nginx(folder: Path) -> tuple[subprocess.Popen[bytes], Server]:
    path = folder / "nginx.conf"
    path.write_text(NGINX_CONFIG.replace("FOLDER", str(folder)))
    # nginx's worker is a user without a name here; the folder is to be its own.
    folder.chmod(0o777)
    master = subprocess.Popen(["nginx", "-c", str(path), "-p", str(folder)])
    time.sleep(1)
    children = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
    workers = [pid for pid in children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return master, Server("nginx", NGINX, int(workers[0]))


def started_edgeproxy(folder: Path, *, access: bool) -> tuple[subprocess.Popen[bytes], Server]:
    path = folder / "config.yaml"
    path.write_text(CONFIG.replace("ACCESS", str(access).lower()))
    command = [sys.executable, "-m", "edgeproxy", "serve", "--config", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.readline()
    return process, Server("edgeproxy", VIEWERS, process.pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--case", default="", help="only those whose name has this in it")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    for program in ("wrk", "nginx"):
        if shutil.which(program) is None:
            sys.exit(f"{program}: is not installed, want it (Debian: apt-get install wrk nginx-light)")
    origin = multiprocessing.Process(target=serve_origin, daemon=True)
    origin.start()
    seen: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nginx, nginx_server = started_nginx(folder)
        for access in (False, True):
            edge, edge_server = started_edgeproxy(folder, access=access)
            cases = [case for case in CASES if case[1] is access and options.case in case[0]]
            for _ in range(options.rounds):
                for case, _, path, script in cases:
                    for server in (nginx_server, edge_server):
                        # What comes once is not known yet.
                        for _ in range(4):
                            urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}").read()
                        figures = measured(server, path, script, options.seconds)
                        seen.setdefault(case, {}).setdefault(server.name, []).append(figures)
            edge.send_signal(signal.SIGTERM)
            edge.wait()
        nginx.terminate()
        nginx.wait()
    origin.terminate()
    columns = ("a second (microseconds each)", "nginx", "edgeproxy", "ratio", "of the time")
    print("{:<38} {:>16} {:>16} {:>6} {:>12}".format(*columns))
    for case, by_server in seen.items():
        (rate, cost), (own_rate, own_cost) = (
            (statistics.median(one[0] for one in figures), statistics.median(one[1] for one in figures))
            for figures in (by_server["nginx"], by_server["edgeproxy"])
        )
        print(
            f"{case:<38} {rate:>9,.0f} ({cost:>4.1f}) {own_rate:>9,.0f} ({own_cost:>4.1f})"
            f" {own_rate / rate:>6.2f} {cost / own_cost:>12.2f}"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(seen, indent=2))


if __name__ == "__main__":
    main()
