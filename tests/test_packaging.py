"""Wheels that are kept: whole ones alone, whatever was cut off; and where they are kept."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgeproxy.cli.main import main
from edgeproxy.packaging import build, wheels
from edgeproxy.packaging.archive import Archive
from edgeproxy.packaging.closure import Pin
from edgeproxy.packaging.errors import PackageError
from edgeproxy.packaging.platform import Architecture, Platform

LAMBDA = Platform("3.13", Architecture.X86_64)
PIN = Pin("thing", "1.0")
NAME = "thing-1.0-py3-none-any.whl"


def wheel(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing.py", "x = 1\n" * 100)
    return path


def cut(path: Path) -> Path:
    path.write_bytes(wheel(path).read_bytes()[:-30])
    return path


def downloading(monkeypatch: pytest.MonkeyPatch, *, is_cut: bool = False) -> None:
    def download(missing: Iterable[Pin], platform: Platform, folder: Path) -> None:
        if is_cut:
            cut(folder / NAME)
            raise PackageError("pip was killed")
        wheel(folder / NAME)

    monkeypatch.setattr(wheels, "_download", download)


def kept(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_half_a_wheel_is_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloading(monkeypatch)
    cut(tmp_path / NAME)
    said: list[str] = []
    (found,) = wheels.wheels([PIN], LAMBDA, tmp_path, said.append)
    assert wheels.unpack(found) == {"thing.py": b"x = 1\n" * 100}
    assert (said, kept(tmp_path)) == (["downloading thing==1.0"], [NAME])


def test_of_a_download_that_is_cut_off_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloading(monkeypatch, is_cut=True)
    with pytest.raises(PackageError, match="pip was killed"):
        wheels.wheels([PIN], LAMBDA, tmp_path, lambda _: None)
    assert kept(tmp_path) == []


def test_what_is_there_needs_no_folder_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / NAME)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    assert wheels.wheels([PIN], LAMBDA, tmp_path, lambda _: None) == (tmp_path / NAME,)
    with pytest.raises(PackageError) as caught:
        wheels.wheels([Pin("other", "1.0")], LAMBDA, tmp_path, lambda _: None)
    assert str(caught.value) == f"{tmp_path}: Permission denied"


def test_a_wheel_that_rotted_is_named(tmp_path: Path) -> None:
    path = wheel(tmp_path / NAME)
    body = bytearray(path.read_bytes())
    body[60] ^= 0xFF
    path.write_bytes(body)
    with pytest.raises(PackageError, match=f"{NAME}: cannot be read: "):
        wheels.unpack(path)


def test_wheels_are_kept_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def built(*arguments: Any) -> Archive:
        asked.append(arguments[3])
        return Archive(tmp_path / "a.zip", 1, 1, "")

    monkeypatch.setattr(build, "built", built)
    monkeypatch.setenv("HOME", str(tmp_path))
    done = CliRunner().invoke(main, ["package", "mirror_url"])
    assert (done.exit_code, asked) == (0, [tmp_path / ".cache" / "edgeproxy" / "wheels"])
