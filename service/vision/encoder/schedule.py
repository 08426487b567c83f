"""When a training run ends and how fast it learns on the way there.

In: steps done, seconds spent and seconds allowed. Out: the number of steps of the whole run, and a learning rate. The
machine may become faster or slower on the way: the plan is made again now and then.
"""

import math

WARMUP_SHARE = 0.05  # of the run


def planned_steps(step: int, elapsed_s: float, budget_s: float) -> int:
    """Return how many steps a run will have at the pace of its steps so far (at least 1); never fewer than are done."""
    return max(step, round(step * budget_s / elapsed_s))


def learning_rate(step: int, total: int, *, peak: float) -> float:
    """Return the rate of step `step` of `total`: a linear rise to the peak, then half a cosine down to 0.

    Source: Loshchilov and Hutter 2017 (ICLR, arXiv 1608.03983), without restarts.
    """
    warmup = max(1.0, WARMUP_SHARE * total)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    share = min(1.0, (step - warmup) / max(1.0, total - warmup))
    return peak * 0.5 * (1 + math.cos(math.pi * share))
