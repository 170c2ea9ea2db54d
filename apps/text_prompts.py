"""Plain words as queries, encoded by a library's own model and scored by ``evaluation``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model import DualEncoder

__all__ = ["plain_words"]


def plain_words(
    library: CaseLibrary, split: str = "test", model: DualEncoder | None = None
) -> list[dict[str, Any]]:
    """Ask for every finding, and every side of it, in plain words.

    Parameters
    ----------
    library : CaseLibrary
        With vectors of the model.
    split : {"test", "val", "train"}
        Whose images are ranked.
    model : DualEncoder, optional
        The library's active one by default.

    Returns
    -------
    list of dict
        As :func:`evaluation.retrieval.zero_shot.zero_shot_table` gives them.
    """
    from evaluation.retrieval.zero_shot import plain_queries, zero_shot_table
    from medembed.model import DualEncoder, find_model

    if model is None:
        model = DualEncoder.load(find_model(library))
    case_ids, vectors = library.vectors(model.fingerprint, "image")
    wanted = set(library.split(split))
    rows = [row for row, case_id in enumerate(case_ids) if case_id in wanted]
    cases = list(library.select([case_ids[row] for row in rows]))
    queries = plain_queries()
    return zero_shot_table(
        model.encode_notes([text for _, _, text in queries]),
        queries,
        np.asarray(vectors)[rows],
        [case.findings for case in cases],
        [case.patient_id for case in cases],
    )
