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


@dataclass(slots=True, eq=False)
class Recording:
    """The recording of one call; `status` is in-progress, processing or completed."""

    sid: str
    call_sid: str
    account_sid: str
    channels: int
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: str = "in-progress"
    duration_seconds: int = -1
    """Unknown (-1, as the carrier says) until the call has ended."""

    def move(self, status: str, duration_seconds: int) -> None:
        self.status, self.duration_seconds = status, duration_seconds
        self.updated_at = datetime.now(UTC)

    @property
    def path(self) -> str:
        return f"/2010-04-01/Accounts/{self.account_sid}/Recordings/{self.sid}"

    @property
    def ready(self) -> bool:
        return self.status == "completed"


@lru_cache(maxsize=16)
def mp3(seconds: int) -> bytes:
    """That much silence as MP3."""
    return _MP3_FRAME * max(1, math.ceil(seconds * _MP3_FRAMES_PER_SECOND))


@lru_cache(maxsize=16)
def wav(seconds: int, channels: int) -> bytes:
    """That much of a quiet tone as 16-bit WAV."""
    one_second = b"".join(
        struct.pack("<h", round(3000 * math.sin(2 * math.pi * _TONE_HERTZ * step / _WAV_RATE))) * channels
        for step in range(_WAV_RATE)
    )
    sound = io.BytesIO()
    with wave.open(sound, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(_WAV_RATE)
        out.writeframes(one_second * max(1, seconds))
    return sound.getvalue()
