"""One way of index_peers.py, in an environment of its own.

    PEER_PYTHON tests/benchmarks/index_peers_run.py WAY FOLDER

FOLDER has ``vectors.npy`` (n, d), ``queries.npy`` (q, d) and ``masks.npy`` (q, m, n / 8), bits in
little order, and is where the way may write. It answers each line of stdin with one of stdout, both
JSON: ``{"query": 3, "mask": 5}`` with ``{"seconds": …, "rows": […]}``, and
``{"change": [rows], "seed": 1}`` (those rows get other vectors) with ``{"seconds": …}``. What turns
a mask into the way's own filter counts in the time: who asks has a mask. Except for MedEmbed's own
ways it imports nothing of MedEmbed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")

K = 10
BATCH = 5_000


class Way:
    """A gallery that can be searched under a mask; subclasses say how."""

    package = ""
    names = ""

    def __init__(self, vectors: np.ndarray, folder: Path) -> None:
        self.vectors = vectors
        self.folder = folder
        self.build()

    def build(self) -> None:
        raise NotImplementedError

    def search(self, query: np.ndarray, mask: np.ndarray) -> list[int]:
        raise NotImplementedError

    def change(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        raise NotImplementedError

    def arranged(self, mask: np.ndarray) -> np.ndarray:
        """The mask in this way's order of rows. Not timed: a library knows where its cases are."""
        return mask


class MedEmbed(Way):
    package = "medembed"
    kind = "auto"

    def build(self) -> None:
        from medembed.index import CaseIndex

        names = [f"{i:09d}" for i in range(len(self.vectors))]
        self.index = CaseIndex.build(self.vectors, names, kind=self.kind)
        self.index.search(self.vectors[0], K)  # makes the codes, which a library keeps in a file
        self.row = {name: int(name) for name in self.index.case_ids}

    def arranged(self, mask: np.ndarray) -> np.ndarray:
        """The mask in the order of the index, which changes move."""
        return mask[[self.row[name] for name in self.index.case_ids]] if self.moved else mask

    moved = False

    def search(self, query, mask):
        return [int(name) for name in self.index.search(query, K, mask).case_ids[0]]

    def change(self, rows, vectors):
        names = [f"{i:09d}" for i in rows]
        self.index.remove(names)
        self.index.add(vectors, names)
        self.moved = True


class MedEmbedGraph(MedEmbed):
    """Approximate where the filter leaves out few cases, exact otherwise."""

    kind = "hnsw"


class MedEmbedOverMilvus(MedEmbed):
    def build(self) -> None:
        from medembed.embeddings import unit_rows
        from medembed.index.milvus_collection import URI, MilvusCollection, connect
        from medembed.index.milvus_index import MilvusIndex

        os.environ[URI] = str(self.folder / "own.db")
        dim = self.vectors.shape[1]
        ids = [f"{i:09d}" for i in range(len(self.vectors))]
        self.index = MilvusIndex(
            ids,
            unit_rows(self.vectors),
            "",
            MilvusCollection(connect(), "cases", dim),
            key=b"k" * 32,
        )
        self.index.synchronize()
        self.row = {name: int(name) for name in ids}


class FaissFlat(Way):
    package = "faiss-cpu"

    def build(self) -> None:
        import faiss

        self.faiss = faiss
        self.index = self.make(self.vectors.shape[1])
        self.index.add(self.vectors)

    def make(self, dim):
        return self.faiss.IndexFlatIP(dim)

    def given(self, selector):
        return self.faiss.SearchParameters(sel=selector)

    def search(self, query, mask):
        bits = np.packbits(mask, bitorder="little")
        given = self.given(self.faiss.IDSelectorBitmap(bits))
        return self.index.search(query[None], K, params=given)[1][0].tolist()


class FaissIvf(FaissFlat):
    """All lists in order of distance, until a budget of eligible rows is spent."""

    share = 0.05

    def make(self, dim):
        n = len(self.vectors)
        self.lists = max(16, int(4 * n**0.5))
        index = self.faiss.index_factory(
            dim, f"IVF{self.lists},Flat", self.faiss.METRIC_INNER_PRODUCT
        )
        index.cp.niter = 8
        index.train(self.vectors[:: max(1, n // (64 * self.lists))])
        return index

    def given(self, selector):
        return self.faiss.SearchParametersIVF(
            sel=selector,
            nprobe=self.lists,
            max_codes=max(2_000, int(self.share * len(self.vectors))),
            ensure_topk_full=True,
        )


class FaissIvfWide(FaissIvf):
    share = 0.25


class FaissHnsw(FaissFlat):
    def make(self, dim):
        index = self.faiss.IndexHNSWFlat(dim, 32, self.faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
        return index

    def given(self, selector):
        return self.faiss.SearchParametersHNSW(sel=selector, efSearch=128)


class Hnswlib(Way):
    package = "hnswlib"

    def build(self) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=self.vectors.shape[1])
        self.index.init_index(len(self.vectors), ef_construction=200, M=32)
        self.index.add_items(self.vectors, np.arange(len(self.vectors)))
        self.index.set_ef(128)

    def search(self, query, mask):
        allowed = mask.tolist()
        take = min(K, int(mask.sum()))
        if not take:
            return []
        try:
            return self.index.knn_query(query, take, 1, filter=allowed.__getitem__)[0][0].tolist()
        except RuntimeError:  # the walk found fewer
            return []


class UsearchOverfetched(Way):
    """Its Python interface has no filter: more are asked for, and the excluded ones left out."""

    package = "usearch"

    def build(self) -> None:
        from usearch.index import Index

        self.index = Index(
            ndim=self.vectors.shape[1], metric="ip", dtype="f32", connectivity=32,
            expansion_add=200, expansion_search=128,
        )  # fmt: skip
        self.index.add(np.arange(len(self.vectors)), self.vectors)

    def search(self, query, mask):
        eligible = int(mask.sum())
        if not eligible:
            return []
        count = min(len(mask), 2 * K * -(-len(mask) // eligible))
        found = self.index.search(query, count).keys.astype(np.int64)
        return found[mask[found]][:K].tolist()


class UsearchExact(Way):
    """Its exact search, of the eligible rows alone."""

    package = "usearch"

    def build(self) -> None:
        from usearch.index import MetricKind, search

        self.find, self.metric = search, MetricKind.IP

    def search(self, query, mask):
        rows = np.flatnonzero(mask)
        if not rows.size:
            return []
        gallery = self.vectors[rows]
        found = self.find(gallery, query, min(K, rows.size), self.metric, exact=True, threads=0)
        return rows[found.keys.astype(np.int64)].tolist()


def named(mask: np.ndarray) -> tuple[str, list[int]]:
    """The shorter of a list of the eligible and one of the excluded."""
    share = mask.mean()
    return ("in", np.flatnonzero(mask)) if share <= 0.5 else ("not in", np.flatnonzero(~mask))


class Lancedb(Way):
    """Exact: without an index, a filter of ids before the search."""

    package = "lancedb"

    def build(self) -> None:
        import lancedb
        import pyarrow as pa

        self.pa = pa
        table = self.table_of(np.arange(len(self.vectors)), self.vectors)
        self.table = lancedb.connect(str(self.folder / "lance")).create_table("cases", table)
        self.table.create_scalar_index("case", index_type="BTREE")
        self.extra()

    def extra(self) -> None:
        pass

    def table_of(self, rows, vectors):
        flat = self.pa.FixedSizeListArray.from_arrays(
            self.pa.array(vectors.ravel()), vectors.shape[1]
        )
        return self.pa.table({"case": self.pa.array(rows.astype(np.int64)), "vector": flat})

    def search(self, query, mask):
        if not mask.any():
            return []
        how, ids = named(mask)
        asked = self.table.search(query).distance_type("dot").select(["case"]).limit(K)
        if len(ids):
            asked = asked.where(f"case {how} ({','.join(map(str, ids.tolist()))})", prefilter=True)
        return self.refined(asked).to_arrow()["case"].to_pylist()

    def refined(self, asked):
        return asked

    def change(self, rows, vectors):
        self.table.delete(f"case in ({','.join(map(str, rows.tolist()))})")
        self.table.add(self.table_of(rows, vectors))
        self.table.optimize()


class LancedbIvfPq(Lancedb):
    """With its default index, rescored."""

    def extra(self) -> None:
        dim = self.vectors.shape[1]
        self.table.create_index(metric="dot", index_type="IVF_PQ", num_sub_vectors=dim // 8)

    def refined(self, asked):
        return asked.nprobes(40).refine_factor(10)


class MilvusLite(Way):
    """FLAT, a filter of ids in its language."""

    package = "milvus-lite"

    def build(self) -> None:
        import logging

        from pymilvus import DataType, MilvusClient

        logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
        self.client = MilvusClient(str(self.folder / "peer.db"))
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("case", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.vectors.shape[1])
        index = self.client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        self.client.create_collection("cases", schema=schema, index_params=index)
        self.put(np.arange(len(self.vectors)), self.vectors)
        self.client.flush("cases")

    def put(self, rows, vectors):
        for at in range(0, len(rows), BATCH):
            here = slice(at, at + BATCH)
            both = zip(rows[here].tolist(), vectors[here], strict=True)
            self.client.upsert("cases", [{"case": row, "vector": one} for row, one in both])

    def search(self, query, mask):
        if not mask.any():
            return []
        how, ids = named(mask)
        where = f"case {how} {ids.tolist()}" if len(ids) else ""
        found = self.client.search(
            "cases", data=query[None], limit=K, filter=where, output_fields=["case"]
        )
        return [hit["case"] for hit in found[0]]

    def change(self, rows, vectors):
        self.put(rows, vectors)


WAYS: dict[str, type[Way]] = {
    "MedEmbed": MedEmbed,
    "MedEmbed, kind hnsw": MedEmbedGraph,
    "MedEmbed over Milvus Lite": MedEmbedOverMilvus,
    "FAISS flat": FaissFlat,
    "FAISS IVF, soft budget 5%": FaissIvf,
    "FAISS IVF, soft budget 25%": FaissIvfWide,
    "FAISS HNSW + selector": FaissHnsw,
    "hnswlib, filter": Hnswlib,
    "usearch, over-fetched": UsearchOverfetched,
    "usearch, exact on the eligible": UsearchExact,
    "LanceDB, exact, prefilter": Lancedb,
    "LanceDB IVF-PQ, prefilter": LancedbIvfPq,
    "Milvus Lite": MilvusLite,
}


def peak_mib() -> int:
    """Most memory so far; ``getrusage`` would begin with that of the parent."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024


def main() -> None:
    """Build, say so, and answer until stdin ends."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the packages print is no answer
    vectors = np.load(folder / "vectors.npy")
    queries, masks = np.load(folder / "queries.npy"), np.load(folder / "masks.npy")
    own = folder / f"way-{list(WAYS).index(name)}"
    own.mkdir(exist_ok=True)
    before = time.perf_counter()
    way = WAYS[name](vectors, own)
    about = {
        "built": time.perf_counter() - before,
        "version": importlib.metadata.version(way.package),
        "peak_mib": peak_mib(),
        "changes": type(way).change is not Way.change,
    }
    answers.write(json.dumps(about) + "\n")
    for line in sys.stdin:
        asked = json.loads(line)
        if "change" in asked:
            rows = np.array(asked["change"])
            rng = np.random.default_rng(asked["seed"])
            new = vectors[rows] + 0.05 * rng.standard_normal((len(rows), vectors.shape[1]))
            new = (new / np.linalg.norm(new, axis=1, keepdims=True)).astype(np.float32)
            before = time.perf_counter()
            way.change(rows, new)
            answers.write(json.dumps({"seconds": time.perf_counter() - before}) + "\n")
            continue
        bits = masks[asked["query"], asked["mask"]]
        mask = np.unpackbits(bits, bitorder="little", count=len(vectors)).astype(bool)
        query, mask = queries[asked["query"]], way.arranged(mask)
        before = time.perf_counter()
        rows = way.search(query, mask)
        spent = time.perf_counter() - before
        answers.write(json.dumps({"seconds": spent, "rows": [int(r) for r in rows]}) + "\n")


if __name__ == "__main__":
    main()
