"""Ceph's object gateway over a one-machine cluster in memory: a monitor, one OSD, radosgw."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers.server import MissingError, S3Server, await_answer, free_port, process

_ACCESS, _SECRET = "EDGEPROXYTESTKEY", "edgeproxy-test-secret"
_TOOLS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool", "ceph")

# cephx stays on: without it radosgw 16 never connects. tcp_nodelay: without it every GET takes 44 ms.
_CONF = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
log file = {folder}/log/$name.log
mon data = {folder}/mon
osd data = {folder}/osd
osd journal = {folder}/osd/journal
osd objectstore = memstore
memstore device bytes = 2147483648
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
mon data avail crit = 0
mon data avail warn = 0
paxos propose interval = 0.05
paxos min wait = 0.01
mon warn on pool no redundancy = false
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw dns name = localhost
rgw data = {folder}/rgw
"""


@contextmanager
def running() -> Iterator[S3Server]:
    """A cluster of its own.  Raises `MissingError`."""
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        raise MissingError(f"{', '.join(absent)} not installed: run scripts/servers")
    with tempfile.TemporaryDirectory(prefix="edgeproxy-rgw-") as name, ExitStack() as stack:
        folder = Path(name)
        for part in ("run", "log", "mon", "osd", "rgw"):
            (folder / part).mkdir()
        v2, v1, port = free_port(), free_port(), free_port()
        conf = folder / "ceph.conf"
        fsid = str(uuid.uuid4())
        conf.write_text(_CONF.format(folder=folder, fsid=fsid, v2=v2, v1=v1, port=port))
        call = _Caller(conf)
        keyring, monmap = folder / "keyring", folder / "monmap"
        call(
            "ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *"
        )
        admin_caps = [word for part in ("mon", "osd", "mgr") for word in ("--cap", part, "allow *")]
        call("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *admin_caps)
        addresses = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        call("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", addresses, monmap)
        call("ceph-mon", "-c", conf, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        log = folder / "log" / "output"
        stack.enter_context(process(["ceph-mon", "-c", str(conf), "-i", "a", "-f"], log))
        osd_uuid = str(uuid.uuid4())
        call("ceph", "-c", conf, "osd", "new", osd_uuid)
        caps = ("mon", "allow profile osd", "osd", "allow *")
        key = call("ceph", "-c", conf, "auth", "get-or-create", "osd.0", *caps)
        with keyring.open("a") as file:
            file.write(key)
        call("ceph-osd", "-c", conf, "-i", "0", "--mkfs", "--osd-uuid", osd_uuid)
        stack.enter_context(process(["ceph-osd", "-c", str(conf), "-i", "0", "-f"], log))
        server = stack.enter_context(process(["radosgw", "-c", str(conf), "-n", "client.admin", "-f"], log))
        endpoint = f"http://127.0.0.1:{port}"
        await_answer(endpoint, server, log)
        keys = ("--access-key", _ACCESS, "--secret-key", _SECRET)
        call("radosgw-admin", "-c", conf, "user", "create", "--uid", "edge", "--display-name", "edge", *keys)
        yield S3Server("radosgw", endpoint, _ACCESS, _SECRET, pids=(server.pid,))


class _Caller:
    """Runs Ceph's tools, and shows what one said when it fails."""

    def __init__(self, conf: Path) -> None:
        self._environ = {**os.environ, "CEPH_CONF": str(conf)}  # noqa: TID251

    def __call__(self, *words: object) -> str:
        command = [str(word) for word in words]
        done = subprocess.run(
            command, env=self._environ, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
        return done.stdout
