"""Columns as plain arrays, for the files of a generation, and back.

In: a table with what was changed since, or arrays. Out: numeric arrays by name, words as UTF-8 with their ends; or the table.
No pickles and no loop over rows. Leaves writing and checksums to `storage.generations`, and which rows are live to `columns`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from service.errors import DataLossError
from service.usecases.column_kinds import Growing, Postings, Segment, Vocabulary, pack_words, unpack_words
from service.usecases.column_table import ColumnTable, Sparse, Words

_TEXTS = ("label_words", "attribute_names", "attribute_words", "score_names")
_NAMES = {"live", "created_us", "label_rows", "label_offsets", "attributes", "scores", *_TEXTS} | {
    f"{name}_ends" for name in _TEXTS
}


def pack_table(
    base: ColumnTable,
    overlay: ColumnTable,
    *,
    n: int,
    rows: Int64[np.ndarray, " c"],
    places: Int64[np.ndarray, " c"],
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Return the first n places of a table as arrays.

    Args:
        base: The table.
        overlay: What was changed since.
        n: How many places.
        rows: Which of them were changed, each once.
        places: Where the overlay holds them.
    """

    def folded(ours: Shaped[np.ndarray, " n"], theirs: Shaped[np.ndarray, " c"]) -> Shaped[np.ndarray, " n"]:
        values = ours.copy()
        values[rows] = theirs
        return values

    m = int(places.max(initial=-1)) + 1
    attribute_names = list({**base.attributes, **overlay.attributes})
    score_names = list({**base.scores, **overlay.scores})
    attributes = [
        folded(base.values_of(name, n, None), overlay.values_of(name, m, places)) for name in attribute_names
    ]
    scores = [
        folded(base.scores_of(name, n, None), overlay.scores_of(name, m, places)) for name in score_names
    ]
    labels = _folded_labels(base, overlay, n=n, rows=rows, places=places)
    arrays: dict[str, Any] = {
        "created_us": folded(base.created_at(n, None), overlay.created_at(m, places)),
        "label_rows": labels.rows,
        "label_offsets": labels.offsets,
        "attributes": np.array(attributes, dtype=np.int32).reshape(len(attributes), n),
        "scores": np.array(scores, dtype=np.float32).reshape(len(scores), n),
    }
    texts = (base.words.labels.words, attribute_names, base.words.values.words, score_names)
    for name, text in zip(_TEXTS, texts, strict=True):
        arrays[name], arrays[f"{name}_ends"] = pack_words(text)
    return arrays


def _folded_labels(
    base: ColumnTable,
    overlay: ColumnTable,
    *,
    n: int,
    rows: Int64[np.ndarray, " c"],
    places: Int64[np.ndarray, " c"],
) -> Segment:
    row_of = np.full(overlay.n_rows, -1, dtype=np.int32)  # of each place; -1 where a later change replaced it
    row_of[places] = rows
    changed = np.zeros(n, dtype=np.bool_)
    changed[rows] = True
    old_rows, old_codes = base.labels.pairs(n)
    kept = ~changed[old_rows]
    new_places, new_codes = overlay.labels.pairs(len(row_of))
    new_rows = row_of[new_places]
    pair_rows = np.concatenate([old_rows[kept], new_rows[new_rows >= 0]])
    pair_codes = np.concatenate([old_codes[kept], new_codes[new_rows >= 0]])
    order = np.argsort(pair_rows, kind="stable")
    return Segment.of(pair_rows[order], pair_codes[order])


def unpack_table(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> ColumnTable:
    """Return the table that was packed; arrays are kept, not copied.

    Raises:
        DataLossError: An array is absent, or they do not fit each other.
    """
    absent = sorted(_NAMES - arrays.keys())
    if absent:
        raise DataLossError(f"Columns lack the arrays {', '.join(absent)}. Rebuild the generation from SQL.")
    label_words, attribute_names, attribute_words, score_names = (
        unpack_words(arrays[name], arrays[f"{name}_ends"]) for name in _TEXTS
    )
    n = len(arrays["created_us"])
    expected = {"live": (n,), "attributes": (len(attribute_names), n), "scores": (len(score_names), n)}
    wrong = [name for name, shape in expected.items() if arrays[name].shape != shape]
    if wrong:
        raise DataLossError(
            f"Columns of {n} rows have arrays of other shapes: {', '.join(wrong)}. Rebuild the generation from SQL."
        )
    table = ColumnTable(
        Words(Vocabulary(label_words), Vocabulary(attribute_words)),
        n_rows=n,
        created=Growing(np.int64, 0, arrays["created_us"]),
        labels=Postings(Segment(arrays["label_rows"], arrays["label_offsets"])),
    )
    for name, codes in zip(attribute_names, arrays["attributes"], strict=True):
        table.attributes[name] = Sparse(Growing(np.int32, -1, codes), complete=bool((codes >= 0).all()))
    for name, scores in zip(score_names, arrays["scores"], strict=True):
        table.scores[name] = Sparse(Growing(np.float32, np.nan, scores), complete=not np.isnan(scores).any())
    return table
