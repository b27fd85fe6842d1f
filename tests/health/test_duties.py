"""What operators say of nodes is kept in a file."""

from pathlib import Path

import pytest

from edgeproxy.core.balancing.nodes import Duty
from edgeproxy.health.duties import Duties, DutiesError
from edgeproxy.store.transactions import connected


async def test_what_was_put_is_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "state" / "duties.sqlite"
    duties = Duties(path)
    assert await duties.read() == {}
    await duties.put("api", "a", Duty.DRAINED)
    await duties.put("api", "a", Duty.CORDONED)
    await duties.put("api", "b", Duty.DRAINED)
    await duties.put("other", "a", Duty.DRAINED)
    await duties.put("other", "a", Duty.READY)
    assert await Duties(path).read() == {"api": {"a": Duty.CORDONED, "b": Duty.DRAINED}}


async def test_a_duty_that_nobody_knows_is_none(tmp_path: Path) -> None:
    duties = Duties(tmp_path / "duties.sqlite")
    await duties.put("api", "a", Duty.DRAINED)
    db = connected(tmp_path / "duties.sqlite")
    db.execute("UPDATE duty SET duty = 'asleep'")
    db.close()
    assert await duties.read() == {}


async def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "duties.sqlite"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(DutiesError, match=r"duties\.sqlite: file is not a database"):
        await Duties(path).read()
    with pytest.raises(DutiesError, match=r"Not a directory|File exists"):
        await Duties(path / "below" / "duties.sqlite").put("api", "a", Duty.READY)
