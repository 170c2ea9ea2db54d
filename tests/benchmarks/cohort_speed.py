"""How long a thousand synthetic radiographs with reports take, and how large they are.

Run on a quiet machine::

    OMP_NUM_THREADS=1 python tests/benchmarks/cohort_speed.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

from medembed.sources.synthetic import CohortConfig, write_cohort


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    config = CohortConfig(
        n_studies=options.studies, size=options.size, views={"PA": 0.7, "AP": 0.3}
    )
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        cohort = write_cohort(Path(folder) / "cohort", config, workers=options.workers)
        seconds = time.perf_counter() - start
        megabytes = sum(p.stat().st_size for p in cohort.folder.rglob("*") if p.is_file()) / 1e6
    print(
        json.dumps(
            {
                "radiographs": cohort.n_files,
                "patients": cohort.n_patients,
                "size": options.size,
                "workers": options.workers,
                "seconds": round(seconds, 1),
                "ms_per_radiograph": round(1000 * seconds / cohort.n_files, 1),
                "megabytes": round(megabytes, 1),
                "load_before": round(before, 2),
                "load_after": round(os.getloadavg()[0], 2),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
