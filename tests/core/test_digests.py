"""Which digests of a head can be held against the bytes."""

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.digests import Algorithm, Digest, digests
from edgeproxy.core.message import Head, Headers

BODY = b"body"
MD5 = hashlib.md5(BODY).digest()
SHA1 = hashlib.sha1(BODY).digest()
SHA256 = hashlib.sha256(BODY).digest()
SHA512 = hashlib.sha512(BODY).digest()
CRC32 = zlib.crc32(BODY).to_bytes(4, "big")


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


ETAG = f'"{MD5.hex()}"'
OF_S3 = ("x-amz-request-id", "4442587FB7D0A2F9")
SURE_MD5 = Digest(Algorithm.MD5, MD5, "Content-MD5")
TAG_MD5 = Digest(Algorithm.MD5, MD5, "ETag", is_sure=False)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        # RFC 1864 §2
        ([("Content-MD5", b64(MD5))], [SURE_MD5]),
        ([("content-md5", f" {b64(MD5)} ")], [SURE_MD5]),
        ([("Content-MD5", MD5.hex())], []),
        ([("Content-MD5", b64(MD5[:15]))], []),
        ([("Content-MD5", "no base64!")], []),
        ([("Content-MD5", b64(MD5)), ("Content-MD5", b64(MD5))], []),
        # RFC 9530 §2, §3: names are keys, which are lower case (RFC 9651 §3.2)
        ([("Repr-Digest", f"sha-256=:{b64(SHA256)}:")], [Digest(Algorithm.SHA256, SHA256, "Repr-Digest")]),
        (
            [("Content-Digest", f"sha-512=:{b64(SHA512)}:")],
            [Digest(Algorithm.SHA512, SHA512, "Content-Digest")],
        ),
        (
            [("Repr-Digest", f"md5=:{b64(MD5)}:, sha-512=:{b64(SHA512)}:;a=1, sha-256=:{b64(SHA256)}:")],
            [
                Digest(Algorithm.SHA512, SHA512, "Repr-Digest"),
                Digest(Algorithm.SHA256, SHA256, "Repr-Digest"),
            ],
        ),
        ([("Repr-Digest", f"SHA-256=:{b64(SHA256)}:")], []),
        ([("Repr-Digest", f"sha-256={b64(SHA256)}")], []),
        ([("Repr-Digest", f'sha-256="{b64(SHA256)}"')], []),
        ([("Repr-Digest", f"sha-256=:{b64(MD5)}:")], []),
        ([("Repr-Digest", f"sha-256=:{b64(SHA256)}:,")], []),
        ([("Repr-Digest", "sha-256=:=:")], []),
        # RFC 3230 §4.3.2: "md5" and "sha"; RFC 5843: "sha-256", "sha-512"; without case
        (
            [("Digest", f"MD5={b64(MD5)}, sha={b64(SHA1)},unixsum=30637")],
            [Digest(Algorithm.MD5, MD5, "Digest"), Digest(Algorithm.SHA1, SHA1, "Digest")],
        ),
        ([("Digest", f"SHA-256={b64(SHA256)}")], [Digest(Algorithm.SHA256, SHA256, "Digest")]),
        ([("Digest", "sha-256")], []),
        # S3 API Reference, "GetObject": x-amz-checksum-*, x-amz-checksum-type
        ([("x-amz-checksum-crc32", b64(CRC32))], [Digest(Algorithm.CRC32, CRC32, "x-amz-checksum-crc32")]),
        ([("x-amz-checksum-sha1", b64(SHA1))], [Digest(Algorithm.SHA1, SHA1, "x-amz-checksum-sha1")]),
        (
            [("x-amz-checksum-sha256", b64(SHA256)), ("x-amz-checksum-type", "FULL_OBJECT")],
            [Digest(Algorithm.SHA256, SHA256, "x-amz-checksum-sha256")],
        ),
        ([("x-amz-checksum-sha256", b64(SHA256) + "-3")], []),
        ([("x-amz-checksum-crc32", b64(CRC32)), ("x-amz-checksum-type", "COMPOSITE")], []),
        ([("x-amz-checksum-crc32c", b64(CRC32))], []),
        # Cloud Storage: unpacked on its way to us, the bytes are others
        ([("x-goog-hash", f"crc32c=AAAAAA==,md5={b64(MD5)}")], [Digest(Algorithm.MD5, MD5, "x-goog-hash")]),
        ([("x-goog-hash", f"md5={b64(MD5)}"), ("x-goog-stored-content-encoding", "gzip")], []),
        (
            [
                ("x-goog-hash", f"md5={b64(MD5)}"),
                ("x-goog-stored-content-encoding", "gzip"),
                ("content-encoding", "gzip"),
            ],
            [Digest(Algorithm.MD5, MD5, "x-goog-hash")],
        ),
        # S3 API Reference, "Object": when the ETag is an MD5 and when not
        ([("ETag", ETAG), OF_S3], [TAG_MD5]),
        ([("ETag", ETAG), ("x-amz-server-side-encryption", "AES256")], [TAG_MD5]),
        ([("ETag", ETAG), OF_S3, ("x-amz-server-side-encryption", "aws:kms")], []),
        ([("ETag", ETAG), OF_S3, ("x-amz-server-side-encryption-customer-algorithm", "AES256")], []),
        ([("ETag", f'"{MD5.hex()}-3"'), OF_S3], []),
        ([("ETag", f"W/{ETAG}"), OF_S3], []),
        ([("ETag", MD5.hex()), OF_S3], []),
        ([("ETag", ETAG)], []),
        ([("ETag", ETAG), ("x-amz-cf-id", "x"), ("x-amz-meta-a", "b")], []),
        ([], []),
    ],
)
def test_what_can_be_held_against_the_bytes(fields: list[tuple[str, str]], found: list[Digest]) -> None:
    assert digests(Head(200, Headers(fields))) == tuple(found)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["content-md5", "repr-digest", "digest", "x-amz-checksum-sha1", "x-goog-hash", "etag"]
            ),
            st.text(st.characters(codec="latin-1")) | st.sampled_from([b64(SHA256), f"sha-256=:{b64(MD5)}:"]),
        )
    )
)
def test_nothing_that_a_source_says_raises(fields: list[tuple[str, str]]) -> None:
    for digest in digests(Head(200, Headers(fields))):
        assert len(digest.value) in (4, 16, 20, 32, 64)


@given(st.binary(max_size=100))
def test_what_is_said_rightly_is_found(body: bytes) -> None:
    value = hashlib.sha256(body).digest()
    for name, text in (("Repr-Digest", f"sha-256=:{b64(value)}:"), ("Digest", f"SHA-256={b64(value)}")):
        assert digests(Head(200, Headers([(name, text)]))) == (Digest(Algorithm.SHA256, value, name),)
