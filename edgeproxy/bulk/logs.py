"""What a line of an access log names. The format of each line is found by itself.

Ours (see `log`), as text and as JSON; the common and combined formats of Apache (mod_log_config, "Common
Log Format") and nginx (ngx_http_log_module); CloudFront's standard logs (CloudFront Developer Guide,
"Standard log file format").
"""

import json
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from edgeproxy.bulk.named import PASSED, Bad, Line, shown, target_of

SERVED = frozenset({200, 206, 304})
"""Statuses of requests whose object there was."""

_READS = frozenset({"GET", "HEAD"})
_STATUS = re.compile(r"[0-9]{3}")
# Time, viewer, method, target, status, result, bytes.
_OURS = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \S+ (\S+) (\S+) (\d{3}) \S+ \d+B ")
_OURS_OTHER = re.compile(r"backfill (?:stored|skipped|failed) ")
# Up to the date there may be a host in front, and blanks in a user's name.
_COMMON = re.compile(r'[^\["]*\[[^\]"]*\] "((?:[^"\\]|\\.)*)" (\d{3}|-)(?: |\Z)')
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_WANTED = (
    "want a line of edgeproxy's own log, of the common or combined format, or of a CloudFront standard log"
)


class LogReader:
    """Reads the lines of one file in order: a CloudFront log says first what its columns are.

    A request counts when it is a GET or HEAD that ended with one of `statuses`.
    """

    def __init__(self, statuses: frozenset[int] = SERVED) -> None:
        self._statuses = statuses
        self._columns: dict[str, int] = {}
        # Most files have one format: what understood the last line is tried first.
        self._readers: list[Callable[[str], Line | None]] = [self._json, self._ours, self._common]

    def read(self, line: str) -> Line:
        """What `line` names. Bytes that are no UTF-8 are surrogates."""
        if line.startswith("#"):
            if line.startswith("#Fields:"):
                self._columns = {name: at for at, name in enumerate(line[8:].split())}
            return PASSED
        if self._columns:
            return self._cloudfront(line)
        if not line.strip():
            return PASSED
        for number, reader in enumerate(self._readers):
            found = reader(line)
            if found is not None:
                if number:
                    self._readers.insert(0, self._readers.pop(number))
                return found
        return Bad(f"got {shown(line)}, {_WANTED}")

    def _judged(self, method: str, target: str, status: str) -> Line:
        if method not in _READS or not _STATUS.fullmatch(status) or int(status) not in self._statuses:
            return PASSED
        if not target.startswith("/"):
            absolute = _ABSOLUTE.match(target)
            if absolute is None:
                return PASSED
            target = target[absolute.end() :]
            if not target.startswith("/"):
                target = f"/{target}"
        return target_of(target)

    def _ours(self, line: str) -> Line | None:
        match = _OURS.match(line)
        if match is None:
            return PASSED if _OURS_OTHER.match(line) else None
        return self._judged(match[1], match[2], match[3])

    def _json(self, line: str) -> Line | None:
        if not line.startswith("{"):
            return None
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            return Bad(f"got {shown(line)}, want a JSON object")
        match told:
            case {"event": "request", "method": str(method), "target": str(target), "status": int(status)}:
                return self._judged(method, target, str(status))
            case {"event": str(event)} if event != "request":
                return PASSED
        return Bad(f'got {shown(line)}, want "event", "method", "target" and "status"')

    def _common(self, line: str) -> Line | None:
        match = _COMMON.match(line)
        if match is None:
            return None
        # What is no HTTP is logged too, such as a TLS greeting to a plain port.
        method, _, rest = match[1].partition(" ")
        target, _, version = rest.rpartition(" ")
        if not version.startswith("HTTP/"):
            return PASSED
        return self._judged(method, _unescaped(target), match[2])

    def _cloudfront(self, line: str) -> Line:
        row = line.split("\t")
        try:
            method, stem, query, status = (
                row[self._columns[name]] for name in ("cs-method", "cs-uri-stem", "cs-uri-query", "sc-status")
            )
        except KeyError as error:
            return Bad(f"its #Fields have no {error.args[0]}, want it")
        except IndexError:
            return Bad(f"got {len(row)} columns, want {len(self._columns)}")
        path = _decoded(stem)
        if query != "-":
            path = f"{path}?{_decoded(query)}"
        return self._judged(method, path, status)


def _unescaped(target: str) -> str:
    r"""As it was sent: nginx and Apache write `\xHH` for bytes that are not printable, and `\"`."""
    if "\\" not in target:
        return target
    raw = target.encode("utf-8", "surrogateescape")
    return _text(_ESCAPE.sub(lambda m: bytes.fromhex(m[1].decode()) if m[1] else m[2], raw))


def _decoded(field: str) -> str:
    """As it was sent: an escape is escaped once more in the log, "%20" is "%2520"."""
    if "%" not in field:
        return field
    return _text(unquote_to_bytes(field.encode("utf-8", "surrogateescape")))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
