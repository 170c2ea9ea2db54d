"""clip-retrieval's back end over a folder, for service_load.py, in an environment of its own.

    PEER_PYTHON tests/benchmarks/service_load_peer.py FOLDER PORT

FOLDER has ``vectors.npy``, ``metadata/*.parquet`` and ``indices.json``. Its own Flask application
and routes are started by its own ``clip_back``; only what encodes is left out, because queries come
as vectors: CLIP's weights would have to be downloaded, and torch is a gigabyte.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import faiss
import numpy as np


def stand_in(name: str, **values: Any) -> None:
    """Put a module of this name in place, for imports whose content a search never uses."""
    module = types.ModuleType(name)
    module.__dict__.update(values)
    module.__path__ = []
    sys.modules[name] = module


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    index = folder / "image.index"
    if not index.exists():
        vectors = np.load(folder / "vectors.npy")
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        faiss.write_index(flat, str(index))
    cuda = types.SimpleNamespace(is_available=lambda: False)
    stand_in("torch", cuda=cuda)
    stand_in("clip")
    stand_in("all_clip", load_clip=lambda *_, **__: (None, None, None))
    # the package imports its other commands, which need what is not installed here
    import importlib.util

    spec = importlib.util.find_spec("clip_retrieval")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = types.ModuleType("clip_retrieval")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["clip_retrieval"] = package
    from clip_retrieval.clip_back import clip_back

    clip_back(
        indices_paths=str(folder / "indices.json"),
        port=port,
        columns_to_return=["case_id", "sex", "age", "modality", "caption"],
        enable_mclip_option=False,
        provide_aesthetic_embeddings=False,
        use_jit=False,
    )


if __name__ == "__main__":
    main()
