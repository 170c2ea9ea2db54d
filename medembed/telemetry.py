"""Keep the libraries that MedEmbed uses from reporting to their makers.

ONNX Runtime since 1.29 sends each session's model name and hashes to its maker and keeps a device
identifier in the home folder; Ray and the Hugging Face hub count their uses. Behind a hospital's
firewall that is an alarm, and each process waits for a name that is never resolved.
"""

from __future__ import annotations

import os

__all__ = ["SILENT", "silence"]

SILENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""Variables of the environment that these libraries read when they are first used."""


def silence() -> None:
    """Turn reports to the makers off in this process and in those that it starts."""
    os.environ.update(SILENT)
