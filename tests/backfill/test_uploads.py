"""Uploads of a process that is gone are found, those of one that lives are not."""

import subprocess
import sys
from pathlib import Path

from edgeproxy.backfill.uploads import Upload, Uploads

ONE = Upload("http://s3", "assets", "grün", "id-1")
BEGUN = """
import sys
from pathlib import Path
from edgeproxy.backfill.uploads import Upload, Uploads
held = Uploads(Path(sys.argv[1])).begin(Upload("http://s3", "assets", "grün", "id-1"))
print("begun", flush=True)
sys.stdin.read()
"""


def test_what_is_ended_is_forgotten(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads")
    mark = uploads.begin(ONE)
    assert mark is not None
    assert uploads.orphans("http://s3", "assets") == []
    uploads.end(mark)
    assert list((tmp_path / "uploads").iterdir()) == []


def test_what_a_killed_process_has_left_is_found_until_it_is_ended(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", BEGUN, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert uploads.orphans("http://s3", "assets") == []
        process.kill()
    assert uploads.orphans("http://s3", "others") == uploads.orphans("http://minio", "assets") == []
    ((found, mark),) = uploads.orphans("http://s3", "assets")
    assert found == ONE
    assert Uploads(tmp_path).orphans("http://s3", "assets") == [], "one at a time"
    uploads.leave(mark)
    ((_, mark),) = uploads.orphans("http://s3", "assets")
    uploads.end(mark)
    assert uploads.orphans("http://s3", "assets") == list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_the_upload_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for uploads in (Uploads(None), Uploads(tmp_path / "file")):
        assert uploads.begin(ONE) is None
        assert uploads.orphans("http://s3", "assets") == []


def test_what_is_no_upload_is_cleared_away(tmp_path: Path) -> None:
    for name, text in (("a", ""), ("b", "[]"), ("c", '{"key": 1}')):
        (tmp_path / name).write_text(text)
    assert Uploads(tmp_path).orphans("http://s3", "assets") == list(tmp_path.iterdir()) == []
