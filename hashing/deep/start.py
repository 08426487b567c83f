"""Where the joint training of a network starts: heads that already predict separated codewords, or rotated components.

In: a network with an untrained trunk, its inputs, labels. Out: the heads' weights. As in `hashing.start`, never random.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashing.codebook import class_codebooks
from hashing.deep.trunk import CHUNK, HashNetwork
from hashing.labels import Labels
from hashing.ridge import solve_ridge
from hashing.rotation import rotated_axes


@torch.no_grad()
def start_heads_(
    network: HashNetwork, x: Float[Tensor, "n ..."], labels: Labels, *, ridge: float, rng: np.random.Generator
) -> None:
    """Fit the heads in closed form on what the untrained trunk makes of the inputs.

    Args:
        network: Its heads are written.
        x: Inputs of the network.
        labels: Labelled samples are led to the summed codewords of their classes. If the labels tell no two samples
            apart, all samples are led to the signs of their rotated principal components.
        ridge: Of the projections.
        rng: Draws codebooks and rotations.
    """
    lengths = network.lengths[-1:] if network.nested else network.lengths
    if labels.informative:
        known = labels.labelled
        books = class_codebooks(len(labels.classes), network.lengths, nested=network.nested, rng=rng)
        wanted = {bits: np.sign(labels.targets[known] @ books[bits]) for bits in lengths}
        rows = torch.from_numpy(np.flatnonzero(known)).to(x.device)
        features = _all(network.features, x[rows])
    else:
        features = _all(network.features, x)
        centred = _all(network.inputs, x)
        wanted = {
            bits: np.where(centred @ rotated_axes(centred, bits, rng) > 0, 1.0, -1.0) for bits in lengths
        }
    extended = np.hstack([features, np.ones((len(features), 1))])
    gram = extended.T @ extended
    for bits, codes in wanted.items():
        projection = torch.from_numpy(solve_ridge(gram, extended.T @ codes, ridge=ridge))
        head = network.head(bits)
        head.weight.copy_(projection[:-1].T)
        head.bias.copy_(projection[-1])


def _all(
    function: Callable[[Float[Tensor, "_n ..."]], Float[Tensor, "_n _m"]], x: Float[Tensor, "n ..."]
) -> Float[np.ndarray, "n m"]:
    parts = torch.cat([function(part) for part in torch.split(x, CHUNK)])
    return parts.cpu().numpy().astype(np.float64)
