"""Removal from a Milvus server of what a library no longer has.

As with derived files, nothing here needs to know who was erased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medembed.index.milvus_collection import (
    MilvusCollection,
    collection_name,
    collections_of,
    connect,
)
from medembed.index.milvus_content import case_numbers, row_sums, state_of
from medembed.library.elsewhere import BACKEND_SETTING
from medembed.library.meta import MetaStore
from medembed.library.vectors import VectorStore

if TYPE_CHECKING:
    from medembed.library.database import Database

__all__ = ["clean_server", "drop_collections"]


def clean_server(database: Database) -> int:
    """Remove the rows of cases that the library does not have, and collections of no use to it.

    The server is asked to rewrite the files that held them. When it does, and when its object
    store and its backups let go of the old ones, is up to it.

    Returns
    -------
    int
        Number of rows removed.

    Raises
    ------
    IndexServerError
        If the server cannot be reached or refuses.
    """
    db = database.read()
    meta = MetaStore(db)
    library_id = str(meta.get("library_id"))
    of_models = {
        collection_name(library_id, space.fingerprint): space.dimensions
        for space in VectorStore(db).embedding_sets()
        if space.kind == "image" and space.n_vectors and meta.get(BACKEND_SETTING) == "milvus"
    }
    ids = [name for (name,) in db.execute("SELECT case_id FROM cases")]
    own = case_numbers(ids, bytes(meta.get("key")))
    client = connect()
    removed = 0
    for name in collections_of(client, library_id):
        collection = MilvusCollection(client, name, of_models.get(name, 0))
        collection.create()
        keys, digests = collection.listing()
        if name not in of_models:
            collection.drop()
            removed += keys.size
            continue
        kept = np.isin(keys, own)
        if not kept.all():
            was_whole = bool(collection.state())
            collection.mark("")
            collection.delete(keys[~kept])
            sums = row_sums(keys[kept], digests[kept])
            if was_whole:
                collection.mark(state_of(sums), sums)
        # also where an earlier attempt ended between the deletion and this
        collection.settle(compact=True)
        removed += int(np.count_nonzero(~kept))
    return removed


def drop_collections(library_id: str) -> None:
    """Drop all collections of a library.

    Raises
    ------
    IndexServerError
        If the server cannot be reached or refuses.
    """
    client = connect()
    for name in collections_of(client, library_id):
        MilvusCollection(client, name, 0).drop()
