"""Comparing methods: values against plain loops, references, seeds, samples, summaries and the JSON form."""

import json
import math
from itertools import count, permutations

import numpy as np
import pytest

from hashing.codes import pack_codes
from hashing.errors import HashingError
from hashing.metrics import Scorer
from service.errors import InvalidArgumentError
from service.usecases.evaluate import EvalFailure, EvalRow, evaluate_hashing, evaluation_document
from service.usecases.protocols import LabelledEmbeddings, Setting, draw_trial

DIM = 6
LENGTHS = (8, 16)


class Signs:
    """A method of one seeded projection per length; remembers what it learned from."""

    def __init__(self, lengths, seed) -> None:
        rng = np.random.default_rng(seed)
        self.maps = {bits: rng.normal(size=(DIM, bits)).astype(np.float32) for bits in lengths}
        self.seed = seed
        self.trained_on = None

    def fit(self, X, y):
        self.trained_on = (X, list(y))
        return self

    def project(self, X):
        return {bits: X @ projection for bits, projection in self.maps.items()}

    def encode(self, X):
        return {bits: pack_codes(scores) for bits, scores in self.project(X).items()}


class Recorder:
    """A factory that keeps the methods it made."""

    def __init__(self) -> None:
        self.made = []

    def __call__(self, lengths, seed) -> Signs:
        self.made.append(Signs(lengths, seed))
        return self.made[-1]


def labelled(n, *, seed, classes=3):
    rng = np.random.default_rng(seed)
    labels = [(f"class {rng.integers(classes)}",) for _ in range(n)]
    return LabelledEmbeddings(embeddings=rng.normal(size=(n, DIM)).astype(np.float32), labels=labels)


TRAIN, DATABASE, QUERY = (labelled(n, seed=seed) for n, seed in [(30, 1), (25, 2), (7, 3)])


def evaluate(**changes):
    options = {
        "train": TRAIN,
        "database": DATABASE,
        "query": QUERY,
        "methods": {"signs": Signs},
        "lengths": LENGTHS,
        "seeds": [0],
    }
    return evaluate_hashing(**(options | changes))


def row_of(rows, method, bits=0, seed=0, **more):
    wanted = {"method": method, "bits": bits, "seed": seed} | more
    (row,) = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    return row


def average_precision(distances, relevant):
    """Return the expected AP over random order inside equal distances, group by group as 01-hashing 1.9 puts it."""
    total, before, relevant_before = 0.0, 0, 0
    for distance in sorted(set(distances)):
        group = [hit for d, hit in zip(distances, relevant, strict=True) if d == distance]
        n, r = len(group), sum(group)
        for j in range(1, n + 1):
            others = (j - 1) * (r - 1) / (n - 1) if n > 1 else 0.0
            total += r / n * (relevant_before + 1 + others) / (before + j)
        before, relevant_before = before + n, relevant_before + r
    return total / sum(relevant)


def precision_at(distances, relevant, k):
    """Return the expected precision of the first k: the last group that fits only in part counts in proportion."""
    expected, room = 0.0, k
    for distance in sorted(set(distances)):
        group = [hit for d, hit in zip(distances, relevant, strict=True) if d == distance]
        taken = min(room, len(group))
        expected, room = expected + taken * sum(group) / len(group), room - taken
    return expected / k


def expected_figures(distances, query=QUERY, database=DATABASE):
    aps, precisions = [], []
    for i, wanted in enumerate(query.labels):
        relevant = [bool(set(wanted) & set(labels)) for labels in database.labels]
        if any(relevant):
            aps.append(average_precision(list(distances[i]), relevant))
            precisions.append(precision_at(list(distances[i]), relevant, 10))
    return sum(aps) / len(aps), sum(precisions) / len(precisions)


def hamming(xq, xb, projection):
    return [[int(np.sum((q @ projection > 0) != (b @ projection > 0))) for b in xb] for q in xq]


def test_figures_are_those_of_plain_loops_for_every_length():
    rows = evaluate(seeds=[4])
    for bits, projection in Signs(LENGTHS, 4).maps.items():
        row = row_of(rows, "signs", bits, 4)
        distances = hamming(QUERY.embeddings, DATABASE.embeddings, projection)
        assert (row.map, row.precision_at_10) == pytest.approx(expected_figures(distances))


def test_cosine_searches_the_embeddings_themselves():
    def cosine(one, other):
        return sum(a * b for a, b in zip(one, other, strict=True)) / math.sqrt(
            sum(a * a for a in one) * sum(b * b for b in other)
        )

    distances = [[-cosine(q, b) for b in DATABASE.embeddings.tolist()] for q in QUERY.embeddings.tolist()]
    row = row_of(evaluate(), "cosine")
    assert (row.map, row.precision_at_10) == pytest.approx(expected_figures(distances))


def test_chance_is_the_mean_over_all_orders():
    database = LabelledEmbeddings(
        embeddings=DATABASE.embeddings[:5], labels=[("a",), ("b",), ("a",), ("b",), ("b",)]
    )
    query = LabelledEmbeddings(embeddings=QUERY.embeddings[:1], labels=[("a",)])
    aps = []
    for order in permutations([True, False, True, False, False]):
        hits = [sum(order[: rank + 1]) / (rank + 1) for rank in range(5) if order[rank]]
        aps.append(sum(hits) / 2)
    row = row_of(evaluate(database=database, query=query), "chance")
    assert row.map == pytest.approx(sum(aps) / len(aps))


def test_any_shared_label_counts_and_unlabelled_images_never_do():
    labels = [("a", "b"), ("b",), (), ("c",), ("a",)] * 5
    database = LabelledEmbeddings(embeddings=DATABASE.embeddings, labels=labels)
    query = LabelledEmbeddings(
        embeddings=QUERY.embeddings, labels=[("a",), (), ("b", "c"), ("unknown",), ("a", "c"), ("b",), ("c",)]
    )
    row = row_of(evaluate(database=database, query=query), "signs", 16)
    distances = hamming(query.embeddings, database.embeddings, Signs(LENGTHS, 0).maps[16])
    assert (row.map, row.precision_at_10) == pytest.approx(expected_figures(distances, query, database))


@pytest.mark.parametrize("labels", [[()] * 7, [("unknown",)] * 7])
def test_queries_without_anything_relevant_are_an_error(labels):
    query = LabelledEmbeddings(embeddings=QUERY.embeddings, labels=labels)
    with pytest.raises(
        InvalidArgumentError, match="None of the 7 queries shares a label with any of the 25 images"
    ):
        evaluate(query=query)


def test_there_is_one_row_per_method_length_and_seed_after_the_references():
    rows = evaluate(methods={"one": Signs, "two": Signs}, seeds=[0, 5])
    assert [(row.method, row.bits, row.seed) for row in rows] == [
        ("cosine", 0, 0),
        ("chance", 0, 0),
        *((method, bits, seed) for seed in (0, 5) for method in ("one", "two") for bits in LENGTHS),
    ]


def test_seeds_reach_the_methods_and_nothing_else_is_random():
    rows = evaluate(seeds=[0, 1], clock=count(0.0).__next__)
    assert repr(rows) == repr(evaluate(seeds=[0, 1], clock=count(0.0).__next__))  # NaN equals itself there
    assert row_of(rows, "signs", 8, 0).map != row_of(rows, "signs", 8, 1).map


def test_times_are_those_of_fit_and_of_encoding_all_lengths():
    ticks = iter([10.0, 13.5, 13.75])
    rows = evaluate(clock=lambda: next(ticks))
    assert {(row.fit_s, row.encode_s) for row in rows if row.method == "signs"} == {(3.5, 0.25)}
    assert row_of(rows, "cosine").fit_s == 0


def test_progress_counts_fits():
    progress = []
    evaluate(
        methods={"one": Signs, "two": Signs}, seeds=[0, 1], on_progress=lambda *step: progress.append(step)
    )
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_methods_learn_from_the_training_set_only():
    recorder = Recorder()
    evaluate(methods={"signs": recorder})
    X, y = recorder.made[0].trained_on
    np.testing.assert_array_equal(X, TRAIN.embeddings)
    assert y == TRAIN.labels


def test_a_limit_per_label_draws_the_same_images_for_all_methods_and_others_for_other_seeds():
    one, two = Recorder(), Recorder()
    evaluate(methods={"one": one, "two": two}, seeds=[0, 1], train_per_label=2)
    drawn = [method.trained_on for method in one.made]
    for (X, y), other in zip(drawn, two.made, strict=True):
        np.testing.assert_array_equal(X, other.trained_on[0])
        assert sorted(y) == [(f"class {number}",) for number in (0, 0, 1, 1, 2, 2)]
        rows = [TRAIN.embeddings.tolist().index(x.tolist()) for x in X]
        assert rows == sorted(rows)
        assert y == [TRAIN.labels[row] for row in rows]
    assert not np.array_equal(drawn[0][0], drawn[1][0])


def test_asymmetric_rows_rank_by_scores_and_come_beside_those_by_distance():
    rows = evaluate(asymmetric=True)
    assert [(row.scoring, row.bits) for row in rows] == [
        *(("none", 0), ("none", 0)),
        *(("hamming", 8), ("hamming", 16), ("asymmetric", 8), ("asymmetric", 16)),
    ]
    for bits, projection in Signs(LENGTHS, 0).maps.items():
        distances = [
            [round(-float(q @ projection @ np.sign(b @ projection)), 4) for b in DATABASE.embeddings]
            for q in QUERY.embeddings
        ]
        row = row_of(rows, "signs", bits, scoring="asymmetric")
        assert (row.map, row.precision_at_10) == pytest.approx(expected_figures(distances))
        assert math.isnan(row.precision_radius_2)
        assert not math.isnan(row_of(rows, "signs", bits, scoring="hamming").precision_radius_2)


TRAIN_4, DATABASE_4, QUERY_4 = (labelled(n, seed=n, classes=5) for n in (60, 50, 40))
FOUR = {"train": TRAIN_4, "database": DATABASE_4, "query": QUERY_4}


@pytest.mark.parametrize("setting", list(Setting))
def test_every_method_and_seed_gets_the_trial_of_its_setting(setting):
    one, two = Recorder(), Recorder()
    rows = evaluate(**FOUR, methods={"one": one, "two": two}, seeds=[3, 4], settings=[setting])
    for seed, first, second in zip((3, 4), one.made, two.made, strict=True):
        trial = draw_trial(setting, seed=seed, **FOUR)
        for method in (first, second):
            np.testing.assert_array_equal(method.trained_on[0], trial.train.embeddings)
            assert method.trained_on[1] == list(trial.train.labels)
        query, database = (first.encode(part.embeddings)[8] for part in (trial.query, trial.database))
        scores = Scorer(trial.query.labels, trial.database.labels).codes(query, database)
        assert row_of(rows, "one", 8, seed).map == scores.mean_average_precision
        assert row_of(rows, "one", 8, seed).recall_at_100 == scores.recall_at_k
    assert {row.setting for row in rows} == {setting.value}


def test_references_are_measured_anew_only_where_the_sets_searched_change():
    rows = evaluate(**FOUR, seeds=[3, 4], settings=[Setting.NOISE, Setting.UNSEEN])
    references = [(row.setting, row.method, row.seed) for row in rows if row.scoring == "none"]
    assert references == [
        *(("noise", "cosine", 0), ("noise", "chance", 0)),
        *(("unseen", name, seed) for seed in (3, 4) for name in ("cosine", "chance")),
    ]


def test_shares_reach_the_draw():
    recorder = Recorder()
    evaluate(
        **FOUR, methods={"signs": recorder}, settings=[Setting.FEW, Setting.NOISE], labelled=0.5, noise=0.1
    )
    few, noisy = (method.trained_on[1] for method in recorder.made)
    assert sum(names != () for names in few) == pytest.approx(30, abs=3)
    assert sum(a != b for a, b in zip(noisy, TRAIN_4.labels, strict=True)) == 6


def test_progress_counts_the_fits_of_all_settings():
    progress = []
    evaluate(**FOUR, settings=list(Setting), seeds=[0, 1], on_progress=lambda *step: progress.append(step))
    assert progress == [(done, 8) for done in range(1, 9)]


def test_curves_are_handed_over_on_request():
    curves = []
    evaluate(seeds=[0, 1], on_curve=curves.append)
    assert [(c.setting, c.method, c.bits, c.seed) for c in curves] == [
        ("clean", "signs", bits, seed) for seed in (0, 1) for bits in LENGTHS
    ]
    learner = Signs(LENGTHS, 1)
    query, database = learner.encode(QUERY.embeddings)[16], learner.encode(DATABASE.embeddings)[16]
    expected = Scorer(QUERY.labels, DATABASE.labels).curve(query, database)
    np.testing.assert_array_equal(curves[3].recall, expected.recall)
    np.testing.assert_array_equal(curves[3].precision, expected.precision)


def test_the_document_is_one_json_object_of_the_agreed_form():
    figures = {"map": 0.5, "precision_at_10": 0.25, "recall_at_100": 0.75, "fit_s": 1.0, "encode_s": 0.5}
    key = {"setting": "clean", "method": "jmh", "scoring": "asymmetric", "bits": 16, "seed": 0}
    document = evaluation_document(
        [EvalRow(**key, **figures, precision_radius_2=math.nan)],
        [EvalFailure(setting="few", method="scdh", seed=2, reason="too few")],
        command="polyhash eval",
        commit="abc",
        date="2025-01-02",
        hardware="2 cores",
    )
    assert json.loads(json.dumps(document, allow_nan=False)) == {
        "command": "polyhash eval",
        "commit": "abc",
        "date": "2025-01-02",
        "hardware": "2 cores",
        "results": [key | figures | {"precision_radius_2": None}],
        "failures": [{"setting": "few", "method": "scdh", "seed": 2, "reason": "too few"}],
    }


def test_measured_rows_are_plain_json_values():
    document = evaluation_document(evaluate(), [], command="", commit="", date="", hardware="")
    assert json.loads(json.dumps(document)) == document


class Refuses(Signs):
    """A method that cannot learn from what seed 1 draws."""

    def fit(self, X, y):
        if self.seed == 1:
            raise HashingError("too few samples")
        return super().fit(X, y)


def test_a_method_that_fails_costs_neither_its_other_seeds_nor_other_methods():
    failures, progress = [], []
    rows = evaluate(
        methods={"refuses": Refuses, "signs": Signs},
        seeds=[0, 1, 2],
        on_failure=failures.append,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert failures == [EvalFailure(setting="clean", method="refuses", seed=1, reason="too few samples")]
    assert progress[-1] == (6, 6)
    assert {row.seed for row in rows if row.method == "refuses"} == {0, 2}
    alone = evaluate(seeds=[0, 1, 2])
    assert [row.map for row in rows if row.method == "signs"] == [
        row.map for row in alone if row.method == "signs"
    ]


def test_a_failure_that_nobody_is_told_of_ends_the_evaluation():
    with pytest.raises(HashingError, match="too few samples"):
        evaluate(methods={"refuses": Refuses}, seeds=[1])
