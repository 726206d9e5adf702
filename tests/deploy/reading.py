"""What several tests of `deploy/` read."""

from __future__ import annotations

from pathlib import Path

from dialer.config import SECRETS, Settings

TOP = Path(__file__).parents[2]
# Every variable that a process of ours heeds.
KNOWN = {name.upper() for name in Settings.model_fields} | {f"{name}_FILE" for name in SECRETS}


def variables(path: str) -> dict[str, str]:
    """A file of NAME=value lines."""
    lines = [line for line in (TOP / path).read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
