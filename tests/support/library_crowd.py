"""Processes that use one library at once: ``python library_crowd.py ROLE LIBRARY IMAGES``.

Each role is what the command line or the reading room does, in a loop and with what it was told
written down line by line, so that a test can hold it against the truth once the loop was killed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from support.small_pairs import PLACES, image_of, note_of

KINDS = list(PLACES)


def write_table(folder: Path, first: int, last: int) -> Path:
    """Write images ``first`` to ``last`` and the table that names them."""
    lines = ["case_id,patient_id,image_path,note,split"]
    for i in range(first, last):
        label, side = KINDS[i % len(KINDS)]
        name = f"{i:05d}.png"
        Image.fromarray(image_of(label, side, i)).save(folder / name)
        note = note_of(label, side, i).replace("\n", " ")
        split = "val" if i % 6 == 5 else "test" if i % 6 == 4 else "train"
        lines.append(f'N-{i:05d},person-{i:05d},{name},"{note}",{split}')
    path = folder / f"cases-{first:05d}.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tell(**what: object) -> None:
    """Write one line that outlives this process."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def ingest(library: Path, source: Path) -> None:
    """Ingest one small table after another; tell which cases were acknowledged."""
    from medembed.library import CaseLibrary
    from medembed.library import ingest as add
    from medembed.sources import open_source

    with CaseLibrary.open(library) as opened:
        first = 10 * len(list(source.glob("*.csv")))
        while True:
            table = write_table(source, first, first + 10)
            report = add(opened, open_source(table))
            if report.refusals:
                raise SystemExit(f"refused: {report.refused_by_code}")
            tell(acknowledged=[f"N-{i:05d}" for i in range(first, first + 10)])
            first += 10
            time.sleep(1.0)


def embed(library: Path, source: Path) -> None:
    """Embed what has no vector yet, by the active model, again and again."""
    del source
    from medembed.errors import InputError
    from medembed.library import CaseLibrary
    from medembed.model import DualEncoder, embed_library, find_model

    with CaseLibrary.open(library) as opened:
        while True:
            try:
                model = DualEncoder.load(find_model(opened, opened.active_model))
                report = embed_library(opened, model, workers=1)
                tell(embedded=report.images)
            except InputError as error:
                tell(refused=str(error))
            time.sleep(0.5)


def search(library: Path, source: Path) -> None:
    """Look up images, words and cases; tell the query's own case and what was found."""
    from medembed.library import CaseLibrary
    from medembed.lookup import CaseLookup

    with CaseLibrary.open(library) as opened:
        for n, file in enumerate(_files_again_and_again(source)):
            with CaseLookup(opened) as lookup:
                if n % 3 == 0:
                    result = lookup.search(image=file, k=5)
                elif n % 3 == 1:
                    result = lookup.search(text="left pleural effusion", where=["split=train"], k=5)
                else:
                    result = lookup.search(case=opened.find()[n % len(opened)], k=5)
                tell(
                    query=file.stem if n % 3 == 0 else None,
                    hits=[hit.case_id for hit in result.hits],
                    fingerprint=result.fingerprint,
                )


def _files_again_and_again(source: Path) -> Iterator[Path]:
    while True:
        yield from sorted(source.glob("*.png"))


if __name__ == "__main__":
    role, library_path, source_path = sys.argv[1:4]
    {"ingest": ingest, "embed": embed, "search": search}[role](
        Path(library_path), Path(source_path)
    )
