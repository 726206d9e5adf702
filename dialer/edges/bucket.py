"""Recordings in an S3-compatible bucket. Credentials, region and endpoint come from the usual AWS_… variables."""

import asyncio
import hashlib
import importlib
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from dialer.crashpoints import passed
from dialer.edges.shelf import READ_BYTES, THREADS, Draft, ShelfAway
from dialer.errors import CheckYourSettings
from dialer.rules.recording import CONTENT_TYPES, Kept, is_file_name

# The least that a part of an upload may have, and so what each of them keeps in memory.
PART_BYTES = 5 * 1024 * 1024
CONNECTIONS = 50
MISSING = ("404", "NoSuchKey", "NotFound", "NoSuchUpload")
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


class Bucket:
    """`s3://bucket/prefix`. An object appears whole or not at all, so there is no `.part` here.

    Uploads that a crash has left unfinished are ended by whoever fetches the recording next.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        prefix = parts.path.strip("/")
        self.bucket = parts.netloc
        self._prefix = f"{prefix}/" if prefix else ""
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None
        self._library = _library()
        self._threads = ThreadPoolExecutor(THREADS, "recordings")

    async def open(self) -> None:
        with self.trouble():
            await self.client()

    async def begin(self, name: str, epoch: int) -> Draft | Kept:
        key = self.key(name)
        with self.trouble():
            client = await self.client()
            if epoch > 1:
                await self._end_uploads(client, key)
        kept = await self.kept(key)
        return kept if kept is not None else _Upload(self, key, CONTENT_TYPES[name.rpartition(".")[2]])

    async def size(self, name: str) -> int | None:
        return await self._size(self.key(name))

    async def read(self, name: str, start: int, length: int) -> AsyncGenerator[bytes]:
        span = f"bytes={start}-{start + length - 1}"
        with self.trouble():
            client = await self.client()
            found = await client.get_object(Bucket=self.bucket, Key=self.key(name), Range=span)
            body = found["Body"]
            async with body:
                async for piece in body.iter_chunks(READ_BYTES):
                    yield piece

    async def delete(self, name: str) -> None:
        with self.trouble():
            client = await self.client()
            await client.delete_object(Bucket=self.bucket, Key=self.key(name))

    async def close(self) -> None:
        await self._opened.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # -- for uploads ------------------------------------------------------------------------------------

    def key(self, name: str) -> str:
        """The object's key. Raises ValueError for a name that is none of ours."""
        if not is_file_name(name):
            raise ValueError("no name of a recording")
        return self._prefix + name

    async def client(self) -> Any:
        """The one client, opened by whoever needs it first."""
        async with self._opening:
            if self._client is None:
                config = self._library["config"].AioConfig(
                    connect_timeout=3,
                    read_timeout=30,
                    max_pool_connections=CONNECTIONS,
                    retries={"mode": "standard", "total_max_attempts": 3},
                    # Servers that are compatible know no other checksums.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                )
                session = self._library["session"].get_session()
                self._client = await self._opened.enter_async_context(session.create_client("s3", config=config))
        return self._client

    async def kept(self, key: str) -> Kept | None:
        """What stands there, read from end to end for its hash; None when nothing does."""
        if await self._size(key) is None:
            return None
        digest, size = hashlib.sha256(), 0
        with self.trouble():
            client = await self.client()
            found = await client.get_object(Bucket=self.bucket, Key=key)
            body = found["Body"]
            async with body:
                async for piece in body.iter_chunks(READ_BYTES):
                    await self.hash(digest, piece)
                    size += len(piece)
        return Kept(size, digest.hexdigest())

    async def hash(self, digest: "hashlib._Hash", block: bytes) -> None:
        """Add to a hash, in a thread of our own."""
        await asyncio.get_running_loop().run_in_executor(self._threads, digest.update, block)

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Whatever the library raises, as ShelfAway: its messages have addresses and keys in them."""
        exceptions = self._library["exceptions"]
        try:
            yield
        except exceptions.ClientError as error:
            raise ShelfAway(f"bucket: {_code(error)}") from error
        except (exceptions.BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ShelfAway(f"bucket: {type(error).__name__}") from error

    def is_taken(self, error: Exception) -> bool:
        """Does the server say that something stands there already?"""
        return isinstance(error, self._library["exceptions"].ClientError) and _code(error) in TAKEN

    async def _size(self, key: str) -> int | None:
        with self.trouble():
            client = await self.client()
            try:
                found = await client.head_object(Bucket=self.bucket, Key=key)
            except self._library["exceptions"].ClientError as error:
                if _code(error) in MISSING:
                    return None
                raise
        return int(found["ContentLength"])

    async def _end_uploads(self, client: Any, key: str) -> None:
        listed = await client.list_multipart_uploads(Bucket=self.bucket, Prefix=key)
        for upload in listed.get("Uploads", []):
            if upload["Key"] == key:
                await client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload["UploadId"])


class _Upload:
    """An object on its way: in one request when it is small, else in parts."""

    def __init__(self, bucket: Bucket, key: str, content_type: str) -> None:
        self._bucket = bucket
        self._where = {"Bucket": bucket.bucket, "Key": key}
        self._key = key
        self._type = content_type
        self._upload: dict[str, str] | None = None
        self._parts: list[dict[str, Any]] = []
        self._waiting = bytearray()
        self._hash = hashlib.sha256()
        self._bytes = 0

    async def write(self, block: bytes) -> None:
        await self._bucket.hash(self._hash, block)
        self._bytes += len(block)
        self._waiting += block
        if len(self._waiting) >= PART_BYTES:
            with self._bucket.trouble():
                await self._send_part()

    async def keep(self) -> Kept:
        passed("recording.synced")
        # Where the server knows it, an object that stands there is not replaced; where not, a look has to do.
        kept = await self._bucket.kept(self._key)
        with self._bucket.trouble():
            if kept is None and not await self._publish():
                kept = await self._bucket.kept(self._key)
        passed("recording.named")
        if kept is not None:
            await self.discard()
        return kept or Kept(self._bytes, self._hash.hexdigest())

    async def _publish(self) -> bool:
        """False: something stands there already."""
        client = await self._bucket.client()
        try:
            if self._upload is None:
                await client.put_object(
                    **self._where, Body=bytes(self._waiting), ContentType=self._type, IfNoneMatch="*"
                )
            else:
                await self._send_part()
                await client.complete_multipart_upload(
                    **self._where, **self._upload, MultipartUpload={"Parts": self._parts}, IfNoneMatch="*"
                )
        except Exception as error:
            if self._bucket.is_taken(error):
                return False
            raise
        return True

    async def _send_part(self) -> None:
        client = await self._bucket.client()
        if self._upload is None:
            begun = await client.create_multipart_upload(**self._where, ContentType=self._type)
            self._upload = {"UploadId": begun["UploadId"]}
        if not self._waiting:
            return
        number = len(self._parts) + 1
        sent = await client.upload_part(
            **self._where, **self._upload, PartNumber=number, Body=bytes(self._waiting)
        )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        self._waiting.clear()

    async def discard(self) -> None:
        upload, self._upload = self._upload, None
        self._waiting.clear()
        if upload is None:
            return
        try:
            with self._bucket.trouble():
                client = await self._bucket.client()
                await client.abort_multipart_upload(**self._where, **upload)
        except ShelfAway:
            pass  # whoever fetches it next ends it


def _library() -> dict[str, Any]:
    """The parts of the library that are used. Raises CheckYourSettings when it is not installed."""
    try:
        return {
            "session": importlib.import_module("aiobotocore.session"),
            "config": importlib.import_module("aiobotocore.config"),
            "exceptions": importlib.import_module("botocore.exceptions"),
        }
    except ImportError as error:
        raise CheckYourSettings(
            "RECORDINGS_URL: a bucket needs the extra `s3`: pip install 'dialer[s3]'"
        ) from error


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
