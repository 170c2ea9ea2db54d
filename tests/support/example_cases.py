"""Cases for tests that need some."""

from __future__ import annotations

import hashlib
from typing import Any

from medembed.cases import Case, Finding, ScanRef


def make_case(number: int = 0, **changes: Any) -> Case:
    sha256 = hashlib.sha256(f"{number}".encode()).hexdigest()
    values: dict[str, Any] = {
        "case_id": f"case-{number}",
        "patient_id": f"P-{number // 2}",
        "scans": (ScanRef((f"/scans/{number}.dcm",), sha256, "CR", "PA"),),
        "modality": "CR",
        "view": "PA",
        "sex": "F" if number % 2 else "M",
        "age_years": float(number % 90),
        "findings": (Finding("effusion", "right"),) if number % 3 == 0 else (),
    }
    return Case(**(values | changes))
