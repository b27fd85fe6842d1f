"""Wheels for another machine than this one: from a folder, and what is not there from the index, by pip."""

import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from edgeproxy.packaging.closure import Pin
from edgeproxy.packaging.errors import PackageError
from edgeproxy.packaging.platform import Platform

_SCHEMES = ("purelib/", "platlib/")


def wheels(
    pinned: Iterable[Pin], platform: Platform, folder: Path, say: Callable[[str], None]
) -> tuple[Path, ...]:
    """A wheel for each of `pinned` that runs on `platform`. What was once downloaded stays in `folder`.

    Raises `PackageError`.
    """
    pinned = tuple(pinned)
    missing = [pin for pin in pinned if _found(pin, platform, folder) is None]
    if missing:
        say(f"downloading {', '.join(map(str, missing))}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # What is cut off is not in the folder: nobody would know it from a whole one.
            with tempfile.TemporaryDirectory(dir=folder) as draft:
                _download(missing, platform, Path(draft))
                for path in Path(draft).iterdir():
                    path.replace(folder / path.name)
        except OSError as error:
            raise PackageError(f"{folder}: {error.strerror}") from error
    return tuple(_certain(_found(pin, platform, folder), pin, platform) for pin in pinned)


def unpack(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel by their names below the folder it is installed in; no scripts, no records.

    Raises `PackageError`.  Binary distribution format, packaging.python.org.
    """
    try:
        return _unpacked(wheel)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise PackageError(f"{wheel}: cannot be read: {said}") from error


def _unpacked(wheel: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename
            top, _, rest = name.partition("/")
            if top.endswith(".data"):
                scheme = next((scheme for scheme in _SCHEMES if rest.startswith(scheme)), None)
                if scheme is None:
                    continue
                name = rest.removeprefix(scheme)
            elif top.endswith(".dist-info") and rest != "METADATA":
                # The version is asked for at run time; the rest is for installers.
                continue
            if not entry.is_dir():
                files[name] = archive.read(entry)
    return files


def _found(pin: Pin, platform: Platform, folder: Path) -> Path | None:
    wanted = platform.tags
    for path in sorted(folder.glob("*.whl")):
        try:
            name, version, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        if name == canonicalize_name(pin.name) and version == Version(pin.version) and tags & wanted:
            # One whose end is missing is none: it is downloaded again, over it.
            if zipfile.is_zipfile(path):
                return path
    return None


def _download(missing: Iterable[Pin], platform: Platform, folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--dest", str(folder)]
    command += ["--python-version", platform.python]
    for name in platform.pip_platforms:
        command += ["--platform", name]
    try:
        done = subprocess.run(  # noqa: S603 - pip of this very Python, with names and versions of ours
            [*command, *map(str, missing)], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise PackageError(f"pip cannot be run: {error.strerror}") from error
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = said[-1] if said else (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise PackageError(f"pip could not download for {platform}: {why}")


def _certain(path: Path | None, pin: Pin, platform: Platform) -> Path:
    if path is None:
        raise PackageError(f"{pin}: there is no wheel of it that runs on {platform}")
    return path
