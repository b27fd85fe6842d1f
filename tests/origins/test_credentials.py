"""Keys from AWS's provider chain."""

from pathlib import Path

import pytest

from edgeproxy.core.errors import OriginError
from edgeproxy.origins.credentials import ProviderChain
from edgeproxy.origins.sigv4 import Keys


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys from whoever runs the tests."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


async def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert await ProviderChain("bucket").current() == Keys("AKID", "secret", "token")


async def test_from_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lab")
    (tmp_path / "credentials").write_text(
        "[lab]\naws_access_key_id = PROFILE\naws_secret_access_key = secret\n"
    )
    assert await ProviderChain("bucket").current() == Keys("PROFILE", "secret", None)


async def test_from_nowhere() -> None:
    with pytest.raises(OriginError) as told:
        await ProviderChain("bucket").current()
    assert (told.value.reason, told.value.status) == ("s3-no-credentials", 502)
    assert told.value.message == "bucket: no AWS credentials were found, and credentials is not anonymous"
