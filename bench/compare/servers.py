"""Starts what is compared, each on a port of its own, all before the one origin of `bench.roads`."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.compare.rows import EDGEPROXY, LOGGING, NGINX, NGINX_TWO, TWO, VARNISH
from bench.roads import ORIGIN

PORTS = {EDGEPROXY: 19411, LOGGING: 19412, TWO: 19413, NGINX: 19414, NGINX_TWO: 19415, VARNISH: 19416}
_ADMIN = 10
CONFIG = """
server: {listen: "127.0.0.1:PORT", workers: WORKERS, max_connections: 40000, idle_timeout: 600s}
admin: {listen: "127.0.0.1:ADMIN"}
log: {access: ACCESS}
cache: {memory: 256MiB}
origins:
  site: {type: http, url: "http://127.0.0.1:ORIGIN"}
  bucket:
    type: s3
    bucket: assets
    endpoint: http://127.0.0.1:ORIGIN
    credentials: {access_key_id: bench, secret_access_key: bench-secret}
origin_groups:
  both: {members: [bucket, site], failover_on: [403, 404, 500, 502, 503, 504]}
cache_policies: {plain: {min_ttl: 0}}
behaviors:
  - {path_pattern: /s3/*, target_origin: bucket, cache_policy: plain}
  - {path_pattern: /failover/*, target_origin: both, cache_policy: plain}
default_behavior: {target_origin: site, cache_policy: plain}
"""
NGINX_CONFIG = """
worker_processes WORKERS; daemon off; pid FOLDER/nginx.pid; error_log stderr crit; worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nopush on;
  proxy_cache_path FOLDER/cache keys_zone=cache:10m max_size=200m;
  upstream origin { server 127.0.0.1:ORIGIN; keepalive 128; keepalive_requests 1000000000; }
  proxy_http_version 1.1; proxy_set_header Connection "";
  server {
    listen 127.0.0.1:PORT backlog=4096;
    location / {
      proxy_pass http://origin;
      proxy_cache cache; proxy_force_ranges on;
      add_header X-Cache $upstream_cache_status;
    }
    location /s3/ { proxy_pass http://origin/assets/s3/; proxy_cache cache; }
    location /failover/ {
      proxy_pass http://origin/assets/failover/; proxy_cache cache;
      proxy_intercept_errors on; error_page 403 404 500 502 503 504 = @site;
    }
    location @site { proxy_pass http://origin; proxy_cache cache; }
  }
}
"""
VCL = """
vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "ORIGIN"; }
sub vcl_recv { unset req.http.Cookie; }
sub vcl_backend_response { if (beresp.http.Cache-Control ~ "no-store") { set beresp.uncacheable = true; } }
"""
_PROGRAMS = {EDGEPROXY: sys.executable, NGINX: "nginx", VARNISH: "varnishd"}
_TICKS = os.sysconf("SC_CLK_TCK")
_START_S = 20


@dataclass
class Server:
    """One that runs; `process` and all that it has started."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"

    def processes(self) -> list[int]:
        """Process numbers, its own first."""
        found = [self.process.pid]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children")
            found += map(int, children.read_text().split()) if children.exists() else []
        return found

    def spent_s(self) -> float:
        """Processor time so far, user and system."""
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS

    def memory_mib(self) -> float:
        """Memory of all processes, what they share divided among them."""
        lines = (
            line
            for pid in self.processes()
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        )
        return sum(int(line.split()[1]) for line in lines) / 1024


def is_there(name: str) -> bool:
    """Whether the program is installed."""
    return shutil.which(_PROGRAMS[name.partition(",")[0]]) is not None


@contextmanager
def running(folder: Path) -> Iterator[dict[str, Server]]:
    """All that are installed, by name."""
    with ExitStack() as stack:
        servers = {}
        for name in PORTS:
            if is_there(name):
                servers[name] = stack.enter_context(_running(name, folder))
        yield servers


@contextmanager
def _running(name: str, folder: Path) -> Iterator[Server]:
    port = PORTS[name]
    own = folder / str(port)
    own.mkdir()
    # nginx and Varnish work as users without a name here; the folders are to be theirs.
    folder.chmod(0o755)
    own.chmod(0o777)
    text = {EDGEPROXY: CONFIG, NGINX: NGINX_CONFIG, VARNISH: VCL}[name.partition(",")[0]]
    for word, value in (
        ("PORT", port),
        ("ADMIN", port + _ADMIN),
        ("ORIGIN", ORIGIN),
        ("ACCESS", str(name == LOGGING).lower()),
        ("WORKERS", 2 if "2 workers" in name else 1),
        ("FOLDER", own),
    ):
        text = text.replace(word, str(value))
    path = own / "config"
    path.write_text(text)
    # The log of edgeproxy is standard output: it is written, to nowhere.
    with (own / "errors").open("wb") as errors:
        process = subprocess.Popen(_command(name, path, port), stdout=subprocess.DEVNULL, stderr=errors)
    server = Server(name, port, process)
    try:
        _wait(server, own / "errors")
        yield server
    finally:
        process.terminate()
        process.wait()


def _command(name: str, path: Path, port: int) -> list[str]:
    match name.partition(",")[0]:
        case "nginx":
            return ["nginx", "-c", str(path), "-p", str(path.parent)]
        case "Varnish":
            listen, storage = f"127.0.0.1:{port}", "malloc,256m"
            options = ["-p", "timeout_idle=600", "-n", str(path.parent / "state")]
            return ["varnishd", "-F", "-a", listen, "-f", str(path), "-s", storage, *options]
        case _:
            return [sys.executable, "-m", "edgeproxy", "serve", "--config", str(path)]


def _wait(server: Server, errors: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/hit/1").read()
            return
        except (urllib.error.URLError, ConnectionError):
            if server.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{server.name}: does not start: {errors.read_text()[-500:]}")
            time.sleep(0.1)
