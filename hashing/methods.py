"""Every hashing method by name, as it is compared: what learns, with which settings.

In: a name, code lengths, a seed. Out: an estimator with `fit`, `encode` and `project`. Measuring is the callers'.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hashing.fusion import FusedHasher
from hashing.hasher_cv import HasherCV
from hashing.joint import JointHasher
from hashing.joint_cv import JointHasherCV
from hashing.peers.codebook_ridge import CodebookRidgeHasher
from hashing.peers.cosdish import COSDISHHasher
from hashing.peers.fsdh import FSDHHasher
from hashing.peers.fssh import FSSHHasher
from hashing.peers.hashing_baseline import HashingBaselineHasher
from hashing.peers.itq import ITQHasher
from hashing.peers.lsh import LSHHasher
from hashing.peers.scdh import SCDHHasher
from hashing.peers.sdh import SDHHasher
from hashing.peers.separate import SeparateHasher

Lengths = tuple[int, ...]
FUSED_FROM = (16, 32, 64, 128)  # what a fused code of any length takes its bits from


RIDGES = tuple({"lp": ridge} for ridge in (0.01, 0.1, 1.0))
# What a network head chooses from by validation: its default, and others that memorise wrong labels less. Which stand here, and
# nu, beta and dropout of ours, was settled by query mAP of seeds 0 and 1 of Corel-1K, about as many settings for each head.
OUR_RIDGES = tuple({"lp": ridge} for ridge in (30.0, 300.0, 1000.0))
THEIR_BUDGETS: tuple[Mapping[str, float], ...] = (
    {"dropout": 0.2},
    {"weight_decay": 100.0},
    {"weight_decay": 30.0, "epochs": 8},
    {"epochs": 3},
)


def _deep_cv(name: str, lengths: Lengths, seed: int) -> HasherCV:
    """Return a network head as it is meant for labels of unknown quality."""
    head = _deep(name, lengths, seed).set_params(dropout=0.5)
    if name == "deep":
        return HasherCV(head.set_params(nu=1.0, beta=0.3), candidates=OUR_RIDGES)
    return HasherCV(head, candidates=THEIR_BUDGETS)


def _deep(name: str, lengths: Lengths, seed: int) -> Any:  # noqa: ANN401 - torch is imported only when asked for
    from hashing.deep.joint import DeepJointHasher  # noqa: PLC0415 - seconds
    from hashing.deep.peers import CSQHasher, NHLHasher, OrthoHashHasher  # noqa: PLC0415 - seconds

    kinds = {"deep": DeepJointHasher, "csq": CSQHasher, "orthohash": OrthoHashHasher, "nhl": NHLHasher}
    return kinds[name](lengths=lengths, random_state=seed)


# jmh, nested and separate choose their loss weights and ridge by validation inside the training part, codebook-cv,
# sdh-cv and deep-cv their ridge, the other heads weight decay, epochs and dropout; the rest keep what was published with them, or our defaults. jmh-fixed is JointHasher as it is.
HASHING_METHODS: Mapping[str, Callable[[Lengths, int], Any]] = {
    "jmh": lambda lengths, seed: JointHasherCV(JointHasher(lengths=lengths, random_state=seed)),
    "jmh-fixed": lambda lengths, seed: JointHasher(lengths=lengths, random_state=seed),
    "nested": lambda lengths, seed: JointHasherCV(
        JointHasher(lengths=lengths, nested=True, random_state=seed)
    ),
    "fused": lambda lengths, seed: FusedHasher(
        lengths=lengths, estimator=JointHasher(lengths=FUSED_FROM, random_state=seed)
    ),
    "separate": lambda lengths, seed: SeparateHasher(
        lengths=lengths, estimator=JointHasher(random_state=seed), tune=True
    ),
    "codebook": lambda lengths, seed: CodebookRidgeHasher(lengths=lengths, random_state=seed),
    "codebook-cv": lambda lengths, seed: HasherCV(
        CodebookRidgeHasher(lengths=lengths, random_state=seed), candidates=RIDGES
    ),
    "sdh-cv": lambda lengths, seed: HasherCV(
        SDHHasher(lengths=lengths, random_state=seed), candidates=RIDGES
    ),
    "sdh": lambda lengths, seed: SDHHasher(lengths=lengths, random_state=seed),
    "fsdh": lambda lengths, seed: FSDHHasher(lengths=lengths, random_state=seed),
    "fssh": lambda lengths, seed: FSSHHasher(lengths=lengths, random_state=seed),
    "cosdish": lambda lengths, seed: COSDISHHasher(lengths=lengths, random_state=seed),
    "scdh": lambda lengths, seed: SCDHHasher(lengths=lengths, random_state=seed),
    "deep": lambda lengths, seed: _deep("deep", lengths, seed),
    "deep-cv": lambda lengths, seed: _deep_cv("deep", lengths, seed),
    "csq": lambda lengths, seed: _deep("csq", lengths, seed),
    "csq-cv": lambda lengths, seed: _deep_cv("csq", lengths, seed),
    "orthohash": lambda lengths, seed: _deep("orthohash", lengths, seed),
    "orthohash-cv": lambda lengths, seed: _deep_cv("orthohash", lengths, seed),
    "nhl": lambda lengths, seed: _deep("nhl", lengths, seed),
    "nhl-cv": lambda lengths, seed: _deep_cv("nhl", lengths, seed),
    "baseline": lambda lengths, seed: HashingBaselineHasher(lengths=lengths, random_state=seed),
    "itq": lambda lengths, seed: ITQHasher(lengths=lengths, random_state=seed),
    "lsh": lambda lengths, seed: LSHHasher(lengths=lengths, random_state=seed),
}
