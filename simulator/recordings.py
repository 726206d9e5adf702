"""Recordings of calls and the sound they are made of."""

import io
import math
import struct
import wave
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

_WAV_RATE = 8_000
_TONE_HERTZ = 440

# One silent frame of MPEG-2 layer III: 32 kbit/s, 22.05 kHz, one channel; 104 bytes, 576 samples.
_MP3_FRAME = bytes((0xFF, 0xF3, 0x40, 0xC4)) + bytes(100)
_MP3_FRAMES_PER_SECOND = 22_050 / 576


@dataclass(frozen=True, slots=True)
class Sound:
    """Bytes that need not be in memory: a head, then one unit again and again, up to the size."""

    head: bytes
    unit: bytes
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, wanted: slice) -> bytes:
        start, end, _ = wanted.indices(self.size)
        from_head = self.head[start:end]
        at, count = max(start - len(self.head), 0), max(end - max(start, len(self.head)), 0)
        skipped = at % len(self.unit)
        units = self.unit * ((skipped + count) // len(self.unit) + 1)
        return from_head + units[skipped : skipped + count]


@dataclass(slots=True, eq=False)
class Recording:
    """The recording of one call; `status` is in-progress, processing, completed or absent."""

    sid: str
    call_sid: str
    account_sid: str
    channels: int
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: str = "in-progress"
    duration_seconds: int = -1
    """Unknown (-1, as the carrier says) until the call has ended."""
    bytes: int = 0
    """How large it is; 0: as its duration has it."""

    def move(self, status: str, duration_seconds: int) -> None:
        self.status, self.duration_seconds = status, duration_seconds
        self.updated_at = datetime.now(UTC)

    @property
    def path(self) -> str:
        return f"/2010-04-01/Accounts/{self.account_sid}/Recordings/{self.sid}"

    @property
    def ready(self) -> bool:
        return self.status == "completed"

    def sound(self, ending: str) -> Sound:
        """What is heard: of each recording another, told apart by its bytes. `ending`: .mp3, .wav or none."""
        if ending == ".mp3":
            frame = _MP3_FRAME[: -len(self.sid)] + self.sid.encode()
            frames = max(1, math.ceil(self.duration_seconds * _MP3_FRAMES_PER_SECOND))
            return Sound(b"", frame, self.bytes or len(frame) * frames)
        head, second = wav(max(1, self.duration_seconds), self.channels, int(self.sid[-2:], 16))
        return Sound(head, second, self.bytes or len(head) + len(second) * max(1, self.duration_seconds))


@lru_cache(maxsize=16)
def wav(seconds: int, channels: int, pitch: int) -> tuple[bytes, bytes]:
    """The head of so long a 16-bit WAV, and one second of a quiet tone."""
    one_second = b"".join(
        struct.pack("<h", round(3000 * math.sin(2 * math.pi * (_TONE_HERTZ + pitch) * step / _WAV_RATE)))
        * channels
        for step in range(_WAV_RATE)
    )
    sound = io.BytesIO()
    with wave.open(sound, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(_WAV_RATE)
        out.writeframes(one_second * seconds)
    return sound.getvalue()[: -len(one_second) * seconds], one_second
