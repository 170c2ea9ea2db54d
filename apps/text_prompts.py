"""Score text prompts such as "right pleural effusion" with a library's own model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model import DualEncoder

__all__ = ["score_text_prompts"]


def score_text_prompts(
    library: CaseLibrary, split: str = "test", model: DualEncoder | None = None
) -> list[dict[str, Any]]:
    """Search for every finding, and each of its sides, by a short phrase.

    Parameters
    ----------
    library : CaseLibrary
        Must have vectors of the model.
    split : {"test", "val", "train"}
        The split to rank.
    model : DualEncoder, optional
        Default: the library's active model.

    Returns
    -------
    list of dict
        The rows of :func:`evaluation.retrieval.zero_shot.zero_shot_table`.
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
