"""The same searches in Milvus Lite or LanceDB, run by an interpreter that has them: `PYTHON other_engines.py ENGINE FOLDER`.

In: `codes.npy`, `scores.npy` and `queries.npy` in the folder, then a JSON line per round of calls. Out: a JSON line with the seconds
of each call and the distances found. It imports nothing of this project, whose libraries that interpreter lacks.
"""

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

K = 10
BATCH = 10_000
Search = Callable[[Any, "float | None"], list[float]]


def milvus(folder: Path, codes: Any, scores: Any) -> Search:  # noqa: ANN401 - arrays; no jaxtyping here
    """Return a search in a collection with a BIN_FLAT index."""
    from pymilvus import DataType, MilvusClient  # type: ignore[import-not-found]  # noqa: PLC0415 - one of the two may be absent

    client = MilvusClient(uri=str(folder / "milvus.db"))
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("score", DataType.FLOAT)
    schema.add_field("code", DataType.BINARY_VECTOR, dim=8 * codes.shape[1])
    index = client.prepare_index_params()
    index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
    client.create_collection("codes", schema=schema, index_params=index)
    for start in range(0, len(codes), BATCH):
        part = range(start, min(start + BATCH, len(codes)))
        client.insert(
            "codes", [{"id": i, "score": float(scores[i]), "code": codes[i].tobytes()} for i in part]
        )
    client.load_collection("codes")

    def search(query: Any, limit: float | None) -> list[float]:  # noqa: ANN401 - an array
        (hits,) = client.search(
            "codes",
            data=[query.tobytes()],
            limit=K,
            filter="" if limit is None else f"score <= {limit}",
            search_params={"metric_type": "HAMMING"},
            output_fields=[],
        )
        return [hit["distance"] for hit in hits]

    return search


def lancedb(folder: Path, codes: Any, scores: Any) -> Search:  # noqa: ANN401 - arrays
    """Return a search in a table without an index, which LanceDB scans."""
    import lancedb as lance  # type: ignore[import-not-found]  # noqa: PLC0415 - one of the two may be absent
    import pyarrow as pa  # type: ignore[import-not-found]  # noqa: PLC0415

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(codes.reshape(-1)), codes.shape[1])
    table = lance.connect(str(folder / "lance")).create_table(
        "codes", pa.table({"id": np.arange(len(codes)), "score": scores, "code": vectors})
    )

    def search(query: Any, limit: float | None) -> list[float]:  # noqa: ANN401 - an array
        asked = table.search(query, vector_column_name="code").distance_type("hamming").limit(K)
        if limit is not None:
            asked = asked.where(f"score <= {limit}", prefilter=True)
        found: list[float] = asked.select(["id", "_distance"]).to_arrow()["_distance"].to_pylist()
        return found

    return search


def main() -> None:
    """Load the codes, say so, then answer rounds of calls until the input ends."""
    engine, folder = {"milvus": milvus, "lancedb": lancedb}[sys.argv[1]], Path(sys.argv[2])
    codes, scores, queries = (np.load(folder / f"{name}.npy") for name in ("codes", "scores", "queries"))
    answers = os.fdopen(os.dup(1), "w")
    with contextlib.redirect_stdout(io.StringIO()):  # of libraries
        started = time.perf_counter()
        search = engine(folder, codes, scores)
        print(json.dumps({"load_s": time.perf_counter() - started}), file=answers, flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            seconds, distances = [], []
            for call in range(asked["start"], asked["start"] + asked["calls"]):
                start = time.perf_counter()
                found = search(queries[call % len(queries)], asked["limit"])
                seconds.append(time.perf_counter() - start)
                distances.append(found)
            print(json.dumps({"seconds": seconds, "distances": distances}), file=answers, flush=True)


if __name__ == "__main__":
    main()
