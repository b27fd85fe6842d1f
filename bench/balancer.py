"""Forwarding to several upstreams side by side with nginx's `upstream` and HAProxy, taking turns in one run.

Starts three bare-protocol upstreams in one process, nginx with one worker (`least_conn`, connections kept),
HAProxy with one thread (`leastconn`) and `edgeproxy serve` (a pool, `least-load`) on loopback. Drives `wrk`
at the first upstream itself and at each balancer in turn, and prints medians: requests a second with many
connections, and what each adds to the latency with few, at the 50th and the 99th percentile. Needs wrk,
nginx and HAProxy (Debian: wrk, nginx-light, haproxy).

    python -m bench.balancer [--rounds 5] [--seconds 3] [--json FILE]
"""

import argparse
import asyncio
import json
import multiprocessing
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

UPSTREAMS = (19470, 19471, 19472)
NGINX, HAPROXY, EDGEPROXY, ADMIN = 19480, 19481, 19482, 19483
MANY, FEW = 64, 4
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":"%s"}' % (b"x" * 986)
CALL = '{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x0","data":"0x0"},"latest"]}'
POST = f"""
wrk.method = "POST"
wrk.body = '{CALL}'
wrk.headers["Content-Type"] = "application/json"
"""
CASES = {"GET, 1 KiB": "", "POST, a JSON-RPC call, 1 KiB": POST}
CONFIG = f"""
server: {{listen: "127.0.0.1:{EDGEPROXY}"}}
admin: {{listen: "127.0.0.1:{ADMIN}"}}
log: {{access: false}}
origins:
  api:
    type: pool
    algorithm: least-load
    nodes: [{", ".join(f'{{url: "http://127.0.0.1:{port}"}}' for port in UPSTREAMS)}]
default_behavior:
  target_origin: api
  cache_policy: CachingDisabled
  allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
"""
NGINX_CONFIG = f"""
worker_processes 1; daemon off; pid FOLDER/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  upstream api {{
    least_conn;
    {" ".join(f"server 127.0.0.1:{port};" for port in UPSTREAMS)}
    keepalive 64; keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{NGINX};
    location / {{ proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
HAPROXY_CONFIG = f"""
global
  nbthread 1
  maxconn 2000
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  http-reuse always
frontend viewers
  bind 127.0.0.1:{HAPROXY}
  default_backend api
backend api
  balance leastconn
{chr(10).join(f"  server node{port} 127.0.0.1:{port}" for port in UPSTREAMS)}
"""


class Upstream(asyncio.Protocol):
    """Answers every request with the same kibibyte, when its body is here too."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._begun = b""

    def data_received(self, data: bytes) -> None:
        self._begun += data
        while b"\r\n\r\n" in self._begun:
            head, _, rest = self._begun.partition(b"\r\n\r\n")
            found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            size = int(found[1]) if found is not None else 0
            if len(rest) < size:
                return
            self._begun = rest[size:]
            fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
            self._transport.write(b"HTTP/1.1 200 OK\r\n" + fields + ANSWER)


def serve_upstreams() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Upstream, "127.0.0.1", port) for port in UPSTREAMS]
        await asyncio.gather(*(server.serve_forever() for server in servers))

    import uvloop

    uvloop.run(main())


@dataclass(frozen=True)
class Figures:
    """Of one run of wrk."""

    per_s: float
    p50_ms: float
    p99_ms: float


def measured(port: int, script: str, connections: int, seconds: int) -> Figures:
    """What wrk says, with one thread; any answer but 2xx is an error."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency"]
        command += [*(["-s", file.name] if script else []), f"http://127.0.0.1:{port}/rpc"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate is not None, said
    return Figures(float(rate[1]), _percentile(said, 50), _percentile(said, 99))


def _percentile(said: str, percent: int) -> float:
    """Milliseconds."""
    found = re.search(rf"\n\s+{percent}%\s+([\d.]+)(us|ms|s) *\n", said)
    assert found is not None, said
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def awaited(port: int) -> None:
    """Wait until `port` answers; a few more requests open connections to all upstreams."""
    for _ in range(100):
        try:
            for _ in range(8):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/rpc").read()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nothing answers on port {port}")


@contextmanager
def balancers() -> Iterator[dict[str, int]]:
    """Upstreams and balancers, running; gives their ports by name, the first upstream itself in front."""
    with ExitStack() as stack:
        upstreams = multiprocessing.Process(target=serve_upstreams, daemon=True)
        upstreams.start()
        stack.callback(upstreams.terminate)
        name = stack.enter_context(tempfile.TemporaryDirectory())
        folder = Path(name)
        # nginx's worker is a user without a name here; the folder is to be its own.
        folder.chmod(0o777)
        texts = {"nginx.conf": NGINX_CONFIG, "haproxy.cfg": HAPROXY_CONFIG, "config.yaml": CONFIG}
        for file, text in texts.items():
            (folder / file).write_text(text.replace("FOLDER", name))
        serve = [sys.executable, "-m", "edgeproxy", "serve", "--config", str(folder / "config.yaml")]
        stack.enter_context(running(["nginx", "-c", str(folder / "nginx.conf"), "-p", name]))
        stack.enter_context(running(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]))
        stack.enter_context(running(serve))
        ports = {"direct": UPSTREAMS[0], "nginx": NGINX, "HAProxy": HAPROXY, "edgeproxy": EDGEPROXY}
        for port in ports.values():
            awaited(port)
        yield ports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    for program in ("wrk", "nginx", "haproxy"):
        if shutil.which(program) is None:
            sys.exit(
                f"{program}: is not installed, want it (Debian: apt-get install wrk nginx-light haproxy)"
            )
    seen: dict[str, dict[str, dict[str, list[Figures]]]] = {}
    with balancers() as ports:
        for _ in range(options.rounds):
            for case, script in CASES.items():
                for name, port in ports.items():
                    for load, connections in (("many", MANY), ("few", FEW)):
                        figures = measured(port, script, connections, options.seconds)
                        by_load = seen.setdefault(case, {}).setdefault(name, {})
                        by_load.setdefault(load, []).append(figures)
    for case, by_name in seen.items():
        print(f"\n{case}")
        print(f"{'':<12} {'a second':>10} {'of nginx':>9} {'of HAProxy':>10} {'+p50 ms':>9} {'+p99 ms':>9}")
        rates = {name: statistics.median(f.per_s for f in loads["many"]) for name, loads in by_name.items()}
        for name, loads in by_name.items():
            added = [_added(loads["few"], by_name["direct"]["few"], field) for field in ("p50_ms", "p99_ms")]
            print(
                f"{name:<12} {rates[name]:>10,.0f} {rates[name] / rates['nginx']:>9.2f}"
                f" {rates[name] / rates['HAProxy']:>10.2f} {added[0]:>9.3f} {added[1]:>9.3f}"
            )
    if options.json is not None:
        plain = {
            case: {
                name: {load: [vars(f) for f in figures] for load, figures in loads.items()}
                for name, loads in by_name.items()
            }
            for case, by_name in seen.items()
        }
        options.json.write_text(json.dumps(plain, indent=2))


def _added(those: list[Figures], direct: list[Figures], field: str) -> float:
    """The median of what each round took longer than without a balancer, in milliseconds."""
    pairs = zip(those, direct, strict=True)
    added: list[float] = [float(getattr(one, field)) - getattr(other, field) for one, other in pairs]
    return statistics.median(added)


if __name__ == "__main__":
    main()
