"""Every hasher behind the port keeps to its contract, nested or not."""

import numpy as np
import pytest

from hashing.fitted_hasher import FittedHasher, Provenance
from hashing.joint import JointHasher
from tests.contracts.fakes import FakeBackbone, FakeHasher
from tests.contracts.hasher import HasherContract


@pytest.fixture
def embeddings():
    return np.random.default_rng(1).random(size=(40, FakeBackbone.dim), dtype=np.float32)


@pytest.mark.parametrize("nested", [False, True])
class TestFittedHasher(HasherContract):
    @pytest.fixture
    def hasher(self, nested, embeddings):
        estimator = JointHasher(lengths=(32, 8), nested=nested, random_state=0)
        provenance = Provenance(
            name="joint",
            backbone_identity=FakeBackbone.identity,
            training_hash="00",
            created_at="2026-01-02T03:04:05+00:00",
            polyhash_version="0",
        )
        return FittedHasher(hasher=estimator.fit(embeddings, np.arange(40) % 4), provenance=provenance)


@pytest.mark.parametrize("nested", [False, True])
class TestFakeHasher(HasherContract):
    @pytest.fixture
    def hasher(self, nested):
        return FakeHasher(nested=nested)
