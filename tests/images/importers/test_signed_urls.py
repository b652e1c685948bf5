"""Photos behind signed URLs: what opens them is told to their server, and stands nowhere else."""

from __future__ import annotations

import logging
import pickle

import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.remote import ReadUrl
from visionpipe.images.importers.urls import names_of
from visionpipe.images.inspection_pool import inspect_batch
from visionpipe.images.parameters import IngestionParameters

COLUMNS = {"path_column": "image", "label_column": "label"}


@pytest.fixture
def listed(imported, web, put, tmp_path):
    """Import rows of these references, in which {} is a server with photos; a document there names them."""
    root = put(tmp_path / "there", "a/1.png", "b/1.png")
    url = web(root)

    def read(*references: str, document: str = "t.csv"):
        lines = "".join(f"{each.format(url.removeprefix('http://'))},cat\n" for each in references)
        (root / "t.csv").write_text("image,label\n" + lines)
        signed = f"{url.replace('//', '//me:SECRET@')}/{document}?sig=SECRET"
        return imported("table", url, table=signed, folder_labels=False, **COLUMNS)

    read.root = root
    return read


SIGNED = (
    "http://me:SECRET@{}/a/1.png?sig=SECRET",
    "b/1.png?sig=SECRET",
    "http://me:SECRET@{}/gone.png?sig=SECRET",
    "gone/2.png?sig=SECRET",
    "//me:SECRET@{}/gone/3.png?sig=SECRET",
    "http://me:SEC@RET@127.0.0.1:9/a/3.png?sig=SECRET",
    "",
)


def test_no_row_log_line_or_refusal_holds_a_secret(listed, caplog):
    caplog.set_level(logging.DEBUG, "visionpipe")
    photos = listed(*SIGNED)
    for path in ("a/1.png", "b/1.png"):
        (listed.root / path).unlink()  # after it was listed: a web server's error names the whole URL
    outcomes = inspect_batch([(photo.n_bytes, photo.read) for photo in photos], IngestionParameters())
    assert len(outcomes) == len(SIGNED)
    assert [refusal.reason for _, refusal in outcomes] == ["unreadable"] * len(SIGNED)
    said = repr(photos) + repr(outcomes) + caplog.text
    assert not [secret for secret in ("SEC", "RET", "sig=") if secret in said]


def test_a_missing_photo_s_error_keeps_its_kind(listed):
    photo, _ = listed("http://{}/a/1.png?sig=SECRET", "b/1.png")
    (listed.root / "a/1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"^http://127\.0\.0\.1:\d+/a/1\.png$") as refused:
        photo.read()
    assert type(pickle.loads(pickle.dumps(refused.value))) is FileNotFoundError


def test_an_error_s_number_is_kept(monkeypatch):
    def cat_file(path):
        raise ConnectionRefusedError(111, "Connect call failed", path)

    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(MemoryFileSystem, "cat_file", staticmethod(cat_file))
    with pytest.raises(ConnectionRefusedError) as refused:
        ReadUrl("memory://x", "x?sig=SECRET", {})()
    assert (refused.value.errno, refused.value.strerror) == (111, "Connect call failed")
    assert "SECRET" not in str(refused.value)


def test_a_new_signature_makes_no_new_photo(listed):
    before, after = (
        [(photo.path, photo.mtime_ns) for photo in listed(f"http://{{}}/a/1.png?{sig}", f"b/1.png?{sig}")]
        for sig in ("sig=1", "sig=2")
    )
    assert before == after


@pytest.mark.parametrize(
    "signature",
    [
        "sig={0}%3D&se=2026-01-0{0}T00%3A00%3A00Z&sp=r&sv=2024-11-04&sr=b&skoid={0}",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=2026010{0}T000000Z&X-Amz-Security-Token={0}",
        "AWSAccessKeyId=A{0}&Signature={0}&Expires={0}",
        "X-Goog-Credential={0}&x-goog-signature={0}",
        "Policy={0}&Key-Pair-Id={0}&Signature={0}",
        "access_token={0}",
    ],
)
def test_a_new_signature_beside_an_id_makes_no_new_photo(signature):
    def signed(number: int) -> list[str]:
        ids = [
            f"http://me:{number}@host/photo?{signature}&id=1",
            f"http://me:{number}@host/photo?{signature}&id=2",
        ]
        return list(names_of([each.format(number) for each in [*ids, "photo?{0}&v=1"]]).values())

    assert signed(1) == signed(2)
    assert len(set(signed(1))) == 3


def test_what_looks_like_a_signature_may_be_all_that_tells_photos_apart():
    names = names_of(["photo?token=1", "photo?token=2", "photo", "photo?id=3&token=3"])
    assert len(set(names.values())) == 4


def test_a_document_s_secrets_are_in_no_error(listed):
    with pytest.raises(VisionpipeError, match=r"gone\.csv: no such file") as refused:
        listed("a/1.png", document="gone.csv")
    assert "SECRET" not in str(refused.value)


def test_photos_that_only_a_query_tells_apart_have_two_names(listed, said):
    first, second = sorted(said(listed("a/1.png?v=1", "a/1.png?v=2")))
    assert first.startswith("a/1.png#")
    assert second.startswith("a/1.png#")


def test_urls_of_one_path_are_photos_of_their_own_with_labels_of_their_own(imported, web, put, tmp_path):
    """A server tells images apart by the query, as `/photo?id=1`, and two servers may use the same path."""
    roots = [put(tmp_path / name, "photo.png") for name in ("one", "other")]
    one, other = (web(root) for root in roots)
    rows = [(f"{one}/photo.png?id=1", "cat"), (f"{one}/photo.png?id=2", "dog"), (f"{other}/photo.png", "owl")]
    rows += [(f"{one}/photo.png?id=1", "tabby"), (f"{one}/photo.png", "fox"), ("photo.png", "vixen")]
    (roots[0] / "t.csv").write_text("image,label\n" + "".join(f"{url},{label}\n" for url, label in rows))
    photos = imported("table", one, table="t.csv", folder_labels=False, **COLUMNS)
    labels = sorted(sorted(claim.label for claim in photo.claims) for photo in photos)
    assert labels == [["cat", "tabby"], ["dog"], ["fox", "vixen"], ["owl"]]
    assert len({photo.path for photo in photos}) == 4


def test_photos_of_many_queries_keep_all_their_labels(imported, web, put, tmp_path):
    """A hash of 32 bits names these two alike, as it does some two of any 100,000."""
    url = web(put(tmp_path, "photo.png"))
    told = {"photo.png?id=25698": "cat", "photo.png?id=37938": "dog", "photo.png?id=5": "cow"}
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{row},{told[row]}\n" for row in told))
    photos = imported("table", url, table="t.csv", folder_labels=False, **COLUMNS)
    assert sorted(claim.label for photo in photos for claim in photo.claims) == ["cat", "cow", "dog"]
    assert len({photo.path for photo in photos}) == 3


@pytest.mark.parametrize(
    "plain", ["a/1.png", "/a/b c.png", "https://host/a/1@2x.png", "s3://b/é#1.png", "c:/1.png"]
)
def test_a_name_without_secrets_stays_as_it_was(plain):
    assert names_of([plain]) == {plain: plain}
