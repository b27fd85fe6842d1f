"""Cleans up behind a workplace: a process of its own, because a test run that is killed cleans nothing up.

Its input says which process groups "started" and "ended". The input ends when the test run does, however that
came; then the groups that are left are killed and the folder is removed.
"""

import contextlib
import os
import shutil
import signal
import sys
import time


def main(folder: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        word, group = line.split()
        (groups.add if word == "started" else groups.discard)(int(group))
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    # What has been killed may still be writing its last file.
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1])
