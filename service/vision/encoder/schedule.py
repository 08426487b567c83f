"""When a training run ends, how fast it learns and how large its pictures are on the way there.

In: steps done, seconds spent and seconds allowed. Out: the number of steps of the whole run, a learning rate, a side. The
machine may become faster or slower on the way: the plan is made again now and then.
"""

import math

import numpy as np

WARMUP_SHARE = 0.05  # of the run

# From which share of the run on pictures have which share of their side. Small ones cost less and teach nearly as much.
# Source: Tan and Le 2021 (ICML, arXiv 2104.00298), 4.2, progressive learning; here with the same augmentation throughout.
SIDES = ((0.0, 0.6), (0.6, 0.8), (0.85, 1.0))


def side_share(step: int, total: int) -> float:
    """Return the share of their full side that pictures have at step `step` of `total`."""
    return next(side for start, side in reversed(SIDES) if step >= start * total)


def planned_steps(step: int, elapsed_s: float, budget_s: float) -> int:
    """Return how many steps a run will have at the pace of its steps so far (at least 1); never fewer than are done.

    A step is taken to cost as much as its pictures have pixels.
    """
    starts = [start for start, _ in SIDES] + [1.0]
    costs = np.cumsum([0.0, *np.diff(starts) * [side**2 for _, side in SIDES]])
    spent = min(1.0, elapsed_s / budget_s) * costs[-1]
    return max(step, round(step / float(np.interp(spent, costs, starts))))


def learning_rate(step: int, total: int, *, peak: float) -> float:
    """Return the rate of step `step` of `total`: a linear rise to the peak, then half a cosine down to 0.

    Source: Loshchilov and Hutter 2017 (ICLR, arXiv 1608.03983), without restarts.
    """
    warmup = max(1.0, WARMUP_SHARE * total)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    share = min(1.0, (step - warmup) / max(1.0, total - warmup))
    return peak * 0.5 * (1 + math.cos(math.pi * share))
