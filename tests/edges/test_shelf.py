"""Stores of recordings, a folder and a bucket: what has a name is whole, and never written again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dialer.config import Settings, load
from dialer.edges.bucket import PART_BYTES, Bucket
from dialer.edges.shelf import Draft, Folder, Shelf, ShelfAway, open_shelf
from dialer.errors import CheckYourSettings
from dialer.rules.recording import Kept
from tests.support.buckets import BUCKET, s3_server

NAME = "12/ab/CAab0123.mp3"


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    if request.param == "folder":
        opened: Shelf = Folder(tmp_path / "store")
    else:
        environment = request.getfixturevalue("s3")
        patched = request.getfixturevalue("monkeypatch")
        for name, value in environment.items():
            patched.setenv(name, value)
        opened = open_shelf(load({"RECORDINGS_URL": f"s3://{BUCKET}/{tmp_path.name}"}))
        assert isinstance(opened, Bucket)
    await opened.open()
    yield opened
    await opened.close()


both = pytest.mark.parametrize("shelf", ["folder", "bucket"], indirect=True)
bucket = pytest.mark.parametrize("shelf", ["bucket"], indirect=True)
folder = pytest.mark.parametrize("shelf", ["folder"], indirect=True)


async def begin(shelf: Shelf, epoch: int = 1, name: str = NAME) -> Draft:
    draft = await shelf.begin(name, epoch)
    assert not isinstance(draft, Kept)
    return draft


async def put(shelf: Shelf, *blocks: bytes, name: str = NAME) -> Kept:
    draft = await begin(shelf, name=name)
    for block in blocks:
        await draft.write(block)
    return await draft.keep()


async def content(shelf: Shelf, start: int = 0, length: int = 10**9, name: str = NAME) -> bytes:
    return b"".join([piece async for piece in shelf.read(name, start, length)])


def kept(content: bytes) -> Kept:
    return Kept(len(content), hashlib.sha256(content).hexdigest())


@both
async def test_what_is_kept_is_there_whole_and_can_be_read_in_parts(shelf: Shelf) -> None:
    assert await shelf.size(NAME) is None
    assert await put(shelf, b"one", b"two") == kept(b"onetwo")
    assert await shelf.size(NAME) == 6
    assert await content(shelf) == b"onetwo"
    assert await content(shelf, 2, 3) == b"etw"


@both
async def test_what_is_not_kept_has_no_name(shelf: Shelf) -> None:
    draft = await begin(shelf)
    await draft.write(b"one")
    assert await shelf.size(NAME) is None
    await draft.discard()
    assert await shelf.size(NAME) is None


@both
async def test_what_a_crash_left_under_its_name_is_taken_as_it_is(shelf: Shelf) -> None:
    await put(shelf, b"first")
    assert await shelf.begin(NAME, 2) == kept(b"first")


@both
async def test_of_two_that_publish_the_first_stands(shelf: Shelf) -> None:
    one, other = await begin(shelf, 2), await begin(shelf, 1)
    await one.write(b"first")
    await other.write(b"other")
    assert await one.keep() == kept(b"first")
    assert await other.keep() == kept(b"first")
    assert await content(shelf) == b"first"


@both
async def test_deleting_twice_is_deleting_once(shelf: Shelf) -> None:
    await put(shelf, b"one")
    await shelf.delete(NAME)
    await shelf.delete(NAME)
    assert await shelf.size(NAME) is None


@both
@pytest.mark.parametrize("name", ["../x.mp3", "12/ab/../../CAab.mp3", "/etc/passwd", "12/ab/CAab.mp3.1.part", ""])
async def test_other_names_are_refused(shelf: Shelf, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a recording"):
        await shelf.begin(name, 1)
    with pytest.raises(ValueError, match="no name of a recording"):
        await shelf.size(name)
    with pytest.raises(ValueError, match="no name of a recording"):
        await shelf.delete(name)
    with pytest.raises(ValueError, match="no name of a recording"):
        await content(shelf, name=name)


@both
async def test_large_files_go_through_in_blocks(shelf: Shelf) -> None:
    block = bytes(range(256)) * 4096  # a megabyte
    draft = await begin(shelf)
    for _ in range(12):
        await draft.write(block)
    assert await draft.keep() == kept(block * 12)
    pieces = [piece async for piece in shelf.read(NAME, 0, 12 * len(block))]
    assert max(len(piece) for piece in pieces) <= 256 * 1024
    assert b"".join(pieces) == block * 12


# -- the folder -----------------------------------------------------------------------------------------


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


@folder
async def test_unfinished_files_end_in_part_and_go_with_the_next_lease(shelf: Shelf, tmp_path: Path) -> None:
    root = tmp_path / "store"
    left = await begin(shelf, 1)
    await left.write(b"half")
    assert files(root) == {f"{NAME}.1.part"}
    other = await begin(shelf, 1, "12/ab/CAab0124.mp3")
    again = await begin(shelf, 2)
    assert files(root) == {f"{NAME}.2.part", "12/ab/CAab0124.mp3.1.part"}
    # Whoever has lost its lease finds its draft gone, and leaves nothing.
    with pytest.raises(ShelfAway):
        await left.keep()
    await left.discard()
    await again.write(b"whole")
    assert await again.keep() == kept(b"whole")
    await other.discard()
    assert files(root) == {NAME}


@folder
async def test_who_slept_does_not_take_the_draft_of_a_later_lease_away(shelf: Shelf, tmp_path: Path) -> None:
    later = await begin(shelf, 2)
    await later.write(b"later")
    slept = await begin(shelf, 1)
    assert await later.keep() == kept(b"later")
    await slept.discard()


@folder
async def test_a_crash_between_name_and_tidying_leaves_no_part_for_long(shelf: Shelf, tmp_path: Path) -> None:
    await put(shelf, b"one")
    (tmp_path / "store" / f"{NAME}.1.part").write_bytes(b"one")
    assert await shelf.begin(NAME, 2) == kept(b"one")
    assert files(tmp_path / "store") == {NAME}


async def test_a_folder_that_cannot_be_written_says_so_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    shelf = Folder(tmp_path / "store")
    with pytest.raises(ShelfAway) as error:
        await shelf.begin(NAME, 1)
    assert str(tmp_path) not in str(error.value)
    await shelf.close()


# -- the bucket -----------------------------------------------------------------------------------------


@bucket
async def test_large_objects_are_sent_in_parts_and_what_was_left_is_ended(shelf: Bucket) -> None:
    block = b"x" * PART_BYTES
    left = await begin(shelf, 1)
    await left.write(block)
    client = await shelf.client()
    assert len(await uploads(client)) == 1
    again = await begin(shelf, 2)
    assert await uploads(client) == []
    await again.write(block)
    await again.write(block + b"y")
    assert await again.keep() == kept(block * 2 + b"y")
    assert await uploads(client) == []
    with pytest.raises(ShelfAway):
        await left.write(block)
    head = await client.head_object(Bucket=BUCKET, Key=shelf.key(NAME))
    assert (head["ContentType"], head["ContentLength"]) == ("audio/mpeg", 2 * PART_BYTES + 1)


@bucket
async def test_a_draft_that_is_discarded_leaves_no_upload(shelf: Bucket) -> None:
    draft = await begin(shelf)
    await draft.write(b"x" * PART_BYTES)
    await draft.discard()
    assert await uploads(await shelf.client()) == []


async def uploads(client: Any) -> list[Any]:
    return list((await client.list_multipart_uploads(Bucket=BUCKET)).get("Uploads", []))


@bucket
async def test_a_bucket_that_is_not_there_says_so_by_a_code(shelf: Bucket) -> None:
    missing = Bucket("s3://no-such-bucket")
    draft = await begin(missing)
    await draft.write(b"x")
    with pytest.raises(ShelfAway, match="NoSuchBucket"):
        await draft.keep()
    await missing.close()


# -- which --------------------------------------------------------------------------------------------


async def test_the_folder_is_below_the_data_directory_unless_told_otherwise(tmp_path: Path) -> None:
    assert Settings(dialer_data_dir=tmp_path).recordings_root == tmp_path / "recordings"
    assert Settings(recordings_dir=tmp_path / "x").recordings_root == tmp_path / "x"
    shelf = open_shelf(Settings(recordings_dir=tmp_path / "x"))
    await put(shelf, b"one")
    assert (tmp_path / "x" / NAME).read_bytes() == b"one"
    await shelf.close()


@pytest.mark.parametrize("url", ["https://bucket/x", "s3:///x", "s3://", "s3://Bucket", "s3://b/x y"])
def test_bad_addresses_of_buckets_are_faults_of_the_configuration(url: str) -> None:
    with pytest.raises(CheckYourSettings, match="RECORDINGS_URL"):
        load({"RECORDINGS_URL": url})


async def test_one_that_is_cancelled_while_it_begins_leaves_nothing(tmp_path: Path) -> None:
    """A thread opens the file, and is not cancelled with whoever waits for it."""
    folder = Folder(tmp_path)
    names = [f"12/ab/CAab{n}.mp3" for n in range(50)]
    for name in names:
        beginning = asyncio.ensure_future(folder.begin(name, 1))
        await asyncio.sleep(0)
        beginning.cancel()
        await asyncio.wait([beginning])
    await asyncio.gather(*(folder.size(name) for name in names))  # behind all that was begun
    assert left_in(tmp_path) == []
    await folder.close()


def left_in(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("CA*")]
