"""Ceph's object gateway over a one-machine cluster in memory: a monitor, one OSD, radosgw."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.servers.server import MissingError, S3Server
from tests.servers.workplace import free_port, workplace

_ACCESS, _SECRET = "EDGEPROXYTESTKEY", "edgeproxy-test-secret"
_RESTRICTED, _RESTRICTED_SECRET = "EDGEPROXYREADERKEY", "edgeproxy-reader-secret"
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
    with workplace("rgw") as place:
        folder = place.folder
        for part in ("run", "log", "mon", "osd", "rgw"):
            (folder / part).mkdir()
        v2, v1, port = free_port(), free_port(), free_port()
        conf = folder / "ceph.conf"
        fsid = str(uuid.uuid4())
        conf.write_text(_CONF.format(folder=folder, fsid=fsid, v2=v2, v1=v1, port=port))
        call = partial(place.call, environ={"CEPH_CONF": str(conf)})
        keyring, monmap = folder / "keyring", folder / "monmap"
        call(
            "ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *"
        )
        admin_caps = [word for part in ("mon", "osd", "mgr") for word in ("--cap", part, "allow *")]
        call("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *admin_caps)
        addresses = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        call("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", addresses, monmap)
        call("ceph-mon", "-c", conf, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        place.start("ceph-mon", "-c", conf, "-i", "a", "-f")
        osd_uuid = str(uuid.uuid4())
        call("ceph", "-c", conf, "osd", "new", osd_uuid)
        caps = ("mon", "allow profile osd", "osd", "allow *")
        key = call("ceph", "-c", conf, "auth", "get-or-create", "osd.0", *caps)
        with keyring.open("a") as file:
            file.write(key)
        call("ceph-osd", "-c", conf, "-i", "0", "--mkfs", "--osd-uuid", osd_uuid)
        place.start("ceph-osd", "-c", conf, "-i", "0", "-f")
        server = place.start("radosgw", "-c", conf, "-n", "client.admin", "-f")
        endpoint = f"http://127.0.0.1:{port}"
        place.await_answer(endpoint, server)
        for user, *keys in (("edge", _ACCESS, _SECRET), ("reader", _RESTRICTED, _RESTRICTED_SECRET)):
            names = ("--uid", user, "--display-name", user, "--access-key", keys[0], "--secret-key", keys[1])
            call("radosgw-admin", "-c", conf, "user", "create", *names)
        yield S3Server(
            "radosgw",
            endpoint,
            _ACCESS,
            _SECRET,
            guards_completion=False,
            restricted_access_key_id=_RESTRICTED,
            restricted_secret_access_key=_RESTRICTED_SECRET,
            restricted_principal="arn:aws:iam:::user/reader",
            pids=(server.pid,),
        )
