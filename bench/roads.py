"""What a request costs on each road through the gateway, as a part of what the origin itself can do.

Starts a bare-protocol origin and `edgeproxy serve` on loopback, drives `wrk` at each road in turn, and
prints medians; the ratio is to `wrk` straight at the origin, in the same run. Needs wrk (Debian: wrk).

    python bench/roads.py [--rounds 3] [--seconds 3] [--json FILE]
"""

import argparse
import asyncio
import json
import multiprocessing
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import cast

ORIGIN, VIEWERS, ADMIN = 19400, 19401, 19402
CONFIG = f"""
server: {{listen: "127.0.0.1:{VIEWERS}"}}
admin: {{listen: "127.0.0.1:{ADMIN}"}}
log: {{access: ACCESS}}
cache: CACHE
origins:
  site: {{type: http, url: "http://127.0.0.1:{ORIGIN}"}}
  bucket:
    type: s3
    bucket: assets
    endpoint: http://127.0.0.1:{ORIGIN}
    credentials: {{access_key_id: bench, secret_access_key: bench-secret}}
cache_policies: {{plain: {{min_ttl: 0}}}}
behaviors:
  - {{path_pattern: /s3/*, target_origin: bucket, cache_policy: plain}}
default_behavior: {{target_origin: site, cache_policy: plain}}
"""
ROADS = {
    "origin alone, 1 KiB": (ORIGIN, "/hit/1024"),
    "hit, 1 KiB": (VIEWERS, "/hit/1024"),
    "hit, 10 KiB": (VIEWERS, "/hit/10240"),
    "hit, 1 MiB": (VIEWERS, "/hit/1048576"),
    "miss to HTTP, 1 KiB": (VIEWERS, "/miss/1024"),
    "miss to signed S3, 1 KiB": (VIEWERS, "/s3/miss/1024"),
    "miss that is stored, 1 KiB": (VIEWERS, "/new/*/1024"),
}
WITH_LOG = {"hit, 1 KiB, with the log on": (VIEWERS, "/hit/1024")}
WITH_DISK = {
    "hit on disk, 64 KiB": (VIEWERS, "/hit/65536"),
    "hit on disk, 1 MiB": (VIEWERS, "/hit/1048576"),
    "miss that is stored on disk too, 1 KiB": (VIEWERS, "/new/*/1024"),
    "miss that is stored on disk alone, 64 KiB": (VIEWERS, "/new/*/65536"),
}
ANOTHER_EACH_TIME = """
local number = math.floor(os.time() * 100000)
request = function()
  number = number + 1
  return wrk.format("GET", (wrk.path:gsub("*", string.format("%.0f", number))))
end
"""


class Origin(asyncio.Protocol):
    """Answers every head with as many bytes as its path ends with; /miss/ may not be stored.

    As a bucket (`/assets/`) it lacks what is under /failover/, and as a site it has it.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        for head in data.split(b"\r\n\r\n")[:-1]:
            path = head.split(b" ", 2)[1]
            if path.startswith(b"/assets/failover/"):
                self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            size = int(path.rpartition(b"/")[2])
            control = b"no-store" if b"/miss/" in path else b"max-age=3600"
            fields = b'Content-Type: text/plain\r\nETag: "bench"\r\nCache-Control: ' + control
            self.transport.write(
                b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
            )


def serve_origin() -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", ORIGIN)
        await server.serve_forever()

    import uvloop

    uvloop.run(main())


def measured(port: int, path: str, seconds: int) -> float:
    """Requests a second, of wrk with one thread and 64 connections; any answer but 2xx is an error."""
    command = ["wrk", "-t1", "-c64", f"-d{seconds}", f"http://127.0.0.1:{port}{path}"]
    if "*" in path:
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(ANOTHER_EACH_TIME)
            script.flush()
            return _rate([*command, "-s", script.name])
    return _rate(command)


def _rate(command: list[str]) -> float:
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate is not None, said
    return float(rate[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk: is not installed, want it (Debian: apt-get install wrk)")
    origin = multiprocessing.Process(target=serve_origin, daemon=True)
    origin.start()
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        disk = f"{{memory: 256MiB, max_object: 32KiB, disk: {{folder: '{folder}/cache', size: 1GiB}}}}"
        for roads, access, cache in (
            (ROADS, "false", ""),
            (WITH_LOG, "true", ""),
            (WITH_DISK, "false", disk),
        ):
            path = Path(folder) / "config.yaml"
            path.write_text(CONFIG.replace("ACCESS", access).replace("CACHE", cache))
            command = [sys.executable, "-m", "edgeproxy", "serve", "--config", str(path)]
            gateway = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            assert gateway.stderr is not None
            gateway.stderr.readline()
            for _ in range(options.rounds):
                for name, (port, target) in roads.items():
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{target.replace('*', '0')}").read()
                    rates.setdefault(name, []).append(measured(port, target, options.seconds))
                    time.sleep(0.2)
            gateway.terminate()
            gateway.wait()
    origin.terminate()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    alone = medians["origin alone, 1 KiB"]
    print(f"{'road':<42} {'requests/s':>12} {'of the origin':>14}")
    for name, median in medians.items():
        print(f"{name:<42} {median:>12,.0f} {median / alone:>14.2f}")
    if options.json is not None:
        options.json.write_text(
            json.dumps({"rounds": options.rounds, "rates": rates, "medians": medians}, indent=2)
        )


if __name__ == "__main__":
    main()
