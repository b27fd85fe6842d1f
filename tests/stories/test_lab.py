"""The lab as a newcomer runs it."""

import asyncio
import sys


async def test_the_demonstration_shows_a_miss_the_object_and_a_hit() -> None:
    command = (sys.executable, "-m", "edgeproxy", "lab", "--demo", "--port", "0")
    lab = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await lab.communicate()
    said = out.decode()
    assert (lab.returncode, err) == (0, b"")
    for line in (
        "X-Cache: Miss from cloudfront",
        "X-Edge-Origin: bucket=404 site=200",
        "X-Edge-Backfill: queued",
        "backfill images/dawn.png  stored in the bucket",
        "X-Cache: Hit from cloudfront",
    ):
        assert line in said
    assert said.count("HTTP/1.1 200 OK") == 3
    assert "\x1b[" not in said, "no colour where it is no terminal"


async def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    taken = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    command = (sys.executable, "-m", "edgeproxy", "lab", "--demo", "--port", str(port))
    lab = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, err = await lab.communicate()
    taken.close()
    told = (
        f"cannot listen on 127.0.0.1:{port} (address already in use); --port takes another, 0 any free one\n"
    )
    assert (lab.returncode, err.decode().lower()) == (1, told)
