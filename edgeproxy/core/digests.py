"""Which digests of a body its head gives, and may be held against the bytes.

RFC 1864 (`Content-MD5`), RFC 9530 (`Repr-Digest`, `Content-Digest`), RFC 3230 with RFC 5843 (`Digest`);
S3 User Guide, "Checking object integrity"; Cloud Storage, "HTTP headers" (`x-goog-hash`).
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from edgeproxy.core.message import Head, Headers
from edgeproxy.core.structured import dictionary


class Algorithm(StrEnum):
    """What is computed over the bytes of a body, in the coding that they are sent in."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA512 = "sha512"
    CRC32 = "crc32"


_BYTES = {
    Algorithm.MD5: 16,
    Algorithm.SHA1: 20,
    Algorithm.SHA256: 32,
    Algorithm.SHA512: 64,
    Algorithm.CRC32: 4,
}
# The others of RFC 9530 §5 are deprecated, and nobody sends them alone.
_OF_9530 = {"sha-256": Algorithm.SHA256, "sha-512": Algorithm.SHA512}
_OF_3230 = _OF_9530 | {"md5": Algorithm.MD5, "sha": Algorithm.SHA1}
# CRC32C and CRC64NVME are not in the standard library, and too slow without its help.
_OF_S3 = {"crc32": Algorithm.CRC32, "sha1": Algorithm.SHA1, "sha256": Algorithm.SHA256}

_MD5_LIKE = re.compile(r'"([0-9a-f]{32})"')
# What S3 and those who speak like it say of an object. `x-amz-cf-id` is CloudFront's, before any server.
_SAID_BY_S3 = frozenset(
    "x-amz-request-id x-amz-id-2 x-amz-version-id x-amz-storage-class x-goog-hash".split()
)
_ENCRYPTION = "x-amz-server-side-encryption"


@dataclass(frozen=True, slots=True)
class Digest:
    """What the bytes have to be. `field` said so; without `is_sure` it may mean something else."""

    algorithm: Algorithm
    value: bytes
    field: str
    is_sure: bool = True


def digests(head: Head) -> tuple[Digest, ...]:
    """Every digest that `head` gives of its body, the whole of which it has to be about (200).

    What is malformed, of an unknown algorithm, or about something else than these bytes is left out.
    """
    headers = head.headers
    found = [
        *_content_md5(headers),
        *_of_9530(headers, "repr-digest"),
        *_of_9530(headers, "content-digest"),
        *_of_3230(headers),
        *_of_s3(headers),
        *_of_google(headers),
        *_etag(headers),
    ]
    return tuple(digest for digest in found if len(digest.value) == _BYTES[digest.algorithm])


def _content_md5(headers: Headers) -> Iterator[Digest]:
    value = _decoded(headers.get("content-md5"))
    if value is not None:
        yield Digest(Algorithm.MD5, value, "Content-MD5")


def _of_9530(headers: Headers, name: str) -> Iterator[Digest]:
    """RFC 9530 §2, §3: a dictionary of byte sequences."""
    for key, text in (dictionary(headers.get(name) or "") or {}).items():
        if key in _OF_9530 and isinstance(text, bytes):
            value = _decoded(text.decode().strip(":"))
            if value is not None:
                yield Digest(_OF_9530[key], value, name.title())


def _of_3230(headers: Headers) -> Iterator[Digest]:
    """RFC 3230 §4.3.2: a list of algorithm=value, names without case."""
    yield from _listed(headers, "digest", _OF_3230)


def _of_google(headers: Headers) -> Iterator[Digest]:
    stored = headers.get("x-goog-stored-content-encoding") or "identity"
    if stored.strip().lower() != (headers.get("content-encoding") or "identity").strip().lower():
        return  # it is about what is stored, which was unpacked for us
    yield from _listed(headers, "x-goog-hash", {"md5": Algorithm.MD5})


def _listed(headers: Headers, field: str, names: dict[str, Algorithm]) -> Iterator[Digest]:
    for member in (headers.get(field) or "").split(","):
        name, _, text = member.strip().partition("=")
        value = _decoded(text.strip()) if name.lower() in names else None
        if value is not None:
            yield Digest(names[name.lower()], value, "Digest" if field == "digest" else field)


def _of_s3(headers: Headers) -> Iterator[Digest]:
    """Those of the whole object: what is made of its parts' ends in a hyphen and their number."""
    if (headers.get("x-amz-checksum-type") or "FULL_OBJECT").strip().upper() != "FULL_OBJECT":
        return
    for name, algorithm in _OF_S3.items():
        value = _decoded(headers.get(f"x-amz-checksum-{name}"))
        if value is not None:
            yield Digest(algorithm, value, f"x-amz-checksum-{name}")


def _etag(headers: Headers) -> Iterator[Digest]:
    """The MD5 that S3 takes for an ETag, where it is S3 that speaks.

    Elsewhere 32 hexadecimal digits may be anything; and also of S3 it is not certain: servers that
    encrypt or compress by themselves have others.  S3 API Reference, "Object", ETag.
    """
    match = _MD5_LIKE.fullmatch(headers.get("etag") or "")
    encryption = headers.get(_ENCRYPTION)
    is_s3 = encryption is not None or any(name in headers for name in _SAID_BY_S3)
    is_plain = encryption in (None, "AES256") and f"{_ENCRYPTION}-customer-algorithm" not in headers
    if match is not None and is_s3 and is_plain:
        yield Digest(Algorithm.MD5, bytes.fromhex(match[1]), "ETag", is_sure=False)


def _decoded(text: str | None) -> bytes | None:
    """Base64 as bytes; None where it is none."""
    try:
        return base64.b64decode(text.strip(), validate=True) if text else None
    except ValueError:
        return None
