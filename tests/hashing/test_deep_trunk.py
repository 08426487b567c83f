"""The network of the deep heads, and that its conversion encodes the same without torch."""

import numpy as np
import pytest
import torch

from hashing.deep.objective import solve_association, solve_label_map
from hashing.deep.training import Budget, seeded_generator, train
from hashing.deep.trunk import HashNetwork, convert, join
from hashing.errors import HashingError


def embeddings(n=40, d=6, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d)) + 0.5
    x[0] = 0.0  # a row without direction
    return x.astype(np.float32)


def network(x, lengths=(8, 16), seed=0, **options):
    options = {"hidden": (12, 10), "dropout": 0.3, "normalize": True, **options}
    made = HashNetwork(x.shape[1], lengths, generator=seeded_generator(seed, torch.device("cpu")), **options)
    made.standardise_(torch.tensor(x))
    for parameter in made.parameters():  # biases and norms start at values that would hide mistakes
        torch.nn.init.normal_(parameter, generator=seeded_generator(seed + 1, torch.device("cpu")))
    return made.eval()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nested": True},
        {"normalize": False},
        {"hidden": (9,)},
        {"batch_norm": True},
        {"batch_norm": True, "nested": True},
    ],
    ids=["plain", "nested", "not normalised", "one layer", "batch norm", "nested batch norm"],
)
def test_the_converted_network_gives_the_scores_of_the_network(options):
    x = embeddings()
    torch_network = network(x, **options)
    if torch_network.norms:
        torch_network.train()(torch.tensor(x))  # gives the norms running statistics
        torch_network.eval()
    feature_map, projections = convert(torch_network, x)
    unseen = embeddings(seed=1)
    expected = torch_network.all_scores(torch.tensor(unseen))
    features = feature_map(unseen)
    assert feature_map.n_inputs == 6
    assert list(projections) == [8, 16]
    for bits, P in projections.items():
        scale = expected[bits].abs().max()
        assert np.abs(features @ P - expected[bits].numpy()).max() < 1e-5 * scale


def test_converted_features_are_centred_on_the_training_embeddings():
    x = embeddings()
    feature_map, _ = convert(network(x), x)
    features = feature_map(x)
    assert np.abs(features[:, :-1].mean(axis=0)).max() < 1e-5
    assert (features[:, -1] == 1).all()


def test_converted_features_are_those_of_a_plain_loop_over_layers():
    x = embeddings(n=3)
    feature_map, _ = convert(network(x), x)
    for row, features in zip(x.astype(float), feature_map(x), strict=True):
        norm = np.sqrt((row**2).sum())
        values = row / norm if norm > 0 else row
        for W, b in feature_map.layers:
            values = np.array([max(0.0, sum(v * w for v, w in zip(values, column, strict=True)) + c)
                               for column, c in zip(W.T, b, strict=True)])  # fmt: skip
        assert features[:-1] == pytest.approx(values - feature_map.mean, abs=1e-12)


def test_joined_networks_give_the_scores_of_each():
    x = embeddings()
    parts = [convert(network(x, (bits,), seed=bits), x) for bits in (8, 16)]
    feature_map, projections = join(parts)
    for (part, heads), bits in zip(parts, (8, 16), strict=True):
        assert feature_map(x) @ projections[bits] == pytest.approx(part(x) @ heads[bits], abs=1e-4)


def test_nested_scores_are_prefixes_and_each_length_adds_its_own_bits():
    x = embeddings()
    nested = network(x, nested=True)
    scores = nested.all_scores(torch.tensor(x))
    assert (scores[8] == scores[16][:, :8]).all()
    assert [nested.added_bits(bits) for bits in (8, 16)] == [8, 8]
    assert [network(x).added_bits(bits) for bits in (8, 16)] == [8, 16]


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    x = torch.tensor(embeddings(n=2000))
    dropping = network(x.numpy(), hidden=(50,), dropout=0.4)
    kept = dropping.features(x).detach()
    dropped = dropping.features(x, seeded_generator(0, x.device)).detach()
    left_out = (dropped == 0) & (kept > 0)
    assert float(left_out.sum() / (kept > 0).sum()) == pytest.approx(0.4, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(float(kept.mean()), rel=0.02)


def test_inputs_without_spread_stay_finite():
    x = np.ones((4, 3), dtype=np.float32)
    assert torch.isfinite(network(x).all_scores(torch.tensor(x))[8]).all()


@pytest.mark.parametrize("gaps", [False, True], ids=["whole rows", "missing entries"])
def test_the_label_map_leaves_no_gradient(gaps):
    rng = np.random.default_rng(0)
    codes = torch.tensor(rng.choice((-1.0, 1.0), size=(30, 8)), dtype=torch.float32)
    targets = torch.tensor(rng.integers(0, 2, size=(30, 3)), dtype=torch.float32)
    weights = torch.tensor(rng.integers(0, 3, size=(30, 3 if gaps else 1)), dtype=torch.float32)
    W = solve_label_map(codes, targets, weights, ridge=0.5).numpy()
    residual = (codes.numpy() @ W - targets.numpy()) * weights.numpy()
    assert np.abs(codes.numpy().T @ residual + 0.5 * W).max() < 1e-4


def test_the_association_leaves_no_gradient():
    rng = np.random.default_rng(0)
    source, target = (torch.tensor(rng.choice((-1.0, 1.0), size=(30, bits))) for bits in (8, 16))
    R = solve_association(source, target, ridge=0.5).numpy()
    assert np.abs(source.numpy().T @ (source.numpy() @ R - target.numpy()) + 0.5 * R).max() < 1e-4


class Pull:
    """Scores towards a constant."""

    def __init__(self, target) -> None:
        self.target = target
        self.epochs = 0
        self.rows = []
        self.progress = []

    def start_epoch(self, network, x):
        del network, x
        self.epochs += 1

    def loss(self, network, scores, rows, progress):
        del network
        self.rows.append(rows)
        self.progress.append(progress)
        return sum((f - self.target).square().mean() for f in scores.values())


BUDGET = Budget(epochs=3, batch_size=8, learning_rate=0.01, weight_decay=0.0)


def test_every_epoch_sees_every_sample_once_in_steps_of_the_budget():
    x = torch.tensor(embeddings(n=21))
    objective = Pull(1.0)
    steps = []
    train(network(x.numpy()), x, objective, BUDGET, generator=seeded_generator(0, x.device),
          on_step=lambda done, total: steps.append((done, total)))  # fmt: skip
    assert objective.epochs == 3
    assert steps == [(done, 6) for done in range(1, 7)]
    assert objective.progress == [done / 6 for done in range(6)]
    for epoch in range(3):
        rows = torch.cat(objective.rows[2 * epoch : 2 * epoch + 2])
        assert sorted(rows.tolist()) == list(range(21))


def test_training_lowers_the_loss_and_leaves_the_global_random_state_alone():
    x = torch.tensor(embeddings())
    before = torch.get_rng_state()
    pulled = network(x.numpy())
    start = float(Pull(1.0).loss(pulled, pulled.all_scores(x), None, 0.0))
    long = Budget(epochs=40, batch_size=8, learning_rate=0.01, weight_decay=0.0)
    train(pulled, x, Pull(1.0), long, generator=seeded_generator(0, x.device))
    assert float(Pull(1.0).loss(pulled, pulled.all_scores(x), None, 0.0)) < start / 2
    assert (torch.get_rng_state() == before).all()


def test_views_replace_the_inputs_of_a_batch():
    x = torch.tensor(embeddings())
    seen = []

    def views(epoch, rows):
        seen.append((epoch, len(rows)))
        return torch.zeros(len(rows), 6)

    train(network(x.numpy()), x, Pull(1.0), BUDGET, generator=seeded_generator(0, x.device), views=views)
    assert seen == [(epoch, 8) for epoch in range(3) for _ in range(5)]


def test_a_gradient_that_is_not_finite_stops_the_training():
    x = torch.tensor(embeddings())
    with pytest.raises(
        HashingError, match=r"diverged: the gradient is nan at step 1 of 15. Lower learning_rate \(now 0.01"
    ):
        train(network(x.numpy()), x, Pull(float("nan")), BUDGET, generator=seeded_generator(0, x.device))


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"batch_size": 1}, {"learning_rate": 0.0}, {"weight_decay": -1.0}]
)
def test_a_budget_that_trains_nothing_is_refused(change):
    budget = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "weight_decay": 0.0} | change
    with pytest.raises(ValueError, match="Training needs epochs of 1 or more, batch_size of 2 or more"):
        Budget(**budget)
