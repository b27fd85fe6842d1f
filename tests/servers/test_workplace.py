"""Nothing of a server outlives the test run, however the run ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.workplace import workplace

ROOT = Path(__file__).parent.parent.parent

# A server, and a tool that is at work when the end comes; each is printed once the guard knows of it.
RUN = """
import signal
# A shell that runs the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.servers.workplace import workplace
with workplace("guarded") as place:
    print(place.folder, flush=True)
    tell = place._tell
    def telling(word, process):
        tell(word, process)
        if word == "started":
            print(process.pid, flush=True)
    place._tell = telling
    place.start("sleep", "60")
    place.call("sleep", "61", within_s=60)
"""


def is_running(pid: int) -> bool:
    """Whether `pid` is more than an entry that nobody has read the exit status of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda sign: sign.name)
def test_processes_and_folder_are_gone_when_the_run_is_ended_by(sign: signal.Signals) -> None:
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().decode().strip())
        pids = [int(run.stdout.readline()) for _ in range(2)]
        assert (folder.is_dir(), [is_running(pid) for pid in pids]) == (True, [True, True])
        run.send_signal(sign)
    deadline = time.monotonic() + 20
    while (folder.exists() or any(map(is_running, pids))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (folder.exists(), [is_running(pid) for pid in pids]) == (False, [False, False])


def test_what_a_tool_said_is_told_when_it_fails() -> None:
    with workplace("failing") as place:
        with pytest.raises(RuntimeError, match=r"^sh -c echo no; exit 3:\nno\n$"):
            place.call("sh", "-c", "echo no; exit 3")


def test_what_the_server_said_is_told_when_it_ends_before_it_answers() -> None:
    with workplace("ending") as place:
        server = place.start("sh", "-c", "echo the disk is full; exit 3")
        with pytest.raises(RuntimeError, match=r"does not answer \(exit status 3\):\nthe disk is full$"):
            place.await_answer("http://127.0.0.1:9", server)
