# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The noise schedule that CogACT and OpenVLA-OFT were trained with, and ways to walk it back.

CogACT: 100 steps of the squared-cosine schedule (Nichol and Dhariwal, arXiv 2102.09672).
`ddim_steps` is deterministic and skips steps (Song et al., arXiv 2010.02502, eta = 0),
`ddpm_steps` takes all of them (Ho et al., arXiv 2006.11239, with the fixed small variance).
OpenVLA-OFT: fewer steps of the same schedule, and `clipped_ddim_steps`.
"""

from __future__ import annotations

from functools import lru_cache
import math

import numpy as np
import torch

from ..errors import ConfigError

TRAINING_STEPS = 100


@lru_cache(maxsize=4)
def noise_schedule(count: int = TRAINING_STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Return betas and the cumulative products of 1 - beta, both float64 [count]."""
    def left(u: float) -> float:
        """Part of the signal that is left at time u in 0..1."""
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = np.array([min(1 - left((i + 1) / count) / left(i / count), 0.999)
                      for i in range(count)])
    return betas, np.cumprod(1.0 - betas)


@lru_cache(maxsize=8)
def ddim_times(count: int) -> tuple[int, ...]:
    """
    Return the `count` time steps that are kept, in rising order.

    They are evenly spaced from 0; one step alone is the middle one.  Raises ConfigError for a
    count that no whole stride gives, naming the counts that one does.
    """
    if count == 1:
        return (TRAINING_STEPS // 2,)
    by_count = {len(range(0, TRAINING_STEPS, stride)): range(0, TRAINING_STEPS, stride)
                for stride in range(TRAINING_STEPS - 1, 0, -1)}
    if count not in by_count:
        raise ConfigError(f'{count} DDIM steps (--ddim-steps) cannot be spaced evenly over '
                          f'{TRAINING_STEPS}: use one of {[1, *sorted(by_count)]}')
    return tuple(by_count[count])


def step_times(count: int) -> range:
    """Return the time steps of `count` DDIM steps, or of DDPM for 0, in rising order."""
    times = ddim_times(count) if count else range(TRAINING_STEPS)
    return range(times[0], times[-1] + 1, times[1] - times[0] if len(times) > 1 else 1)


def ddim_steps(predict_noise, x, count: int):
    """
    Yield (x, estimate of the clean sample) after each of `count` denoising steps.

    predict_noise(x, time) -> tensor like x, with time in 0..99.  x: unit normal noise.
    """
    kept, times = noise_schedule()[1], ddim_times(count)
    for place in reversed(range(count)):
        time = times[place]
        now, before = float(kept[time]), float(kept[times[place - 1]]) if place else 1.0
        noise = predict_noise(x, time)
        clean = torch.add(x * math.sqrt(1 / now), noise, alpha=-math.sqrt(1 / now - 1))
        x = torch.add(clean * math.sqrt(before), noise, alpha=math.sqrt(1 - before))
        yield x, clean


def ddpm_steps(predict_noise, x, draw):
    """
    Yield x after each of the 100 steps of ancestral sampling; draw(time) gives fresh noise.

    predict_noise and x: see ddim_steps.
    """
    betas, kept = noise_schedule()
    for time in reversed(range(TRAINING_STEPS)):
        now, before = float(kept[time]), float(kept[time - 1]) if time else 1.0
        noise = predict_noise(x, time)
        clean = x * math.sqrt(1 / now) - noise * math.sqrt(1 / now - 1)
        beta = float(betas[time])
        x = (clean * (beta * math.sqrt(before) / (1 - now))
             + x * ((1 - before) * math.sqrt(1 - beta) / (1 - now)))
        if time:
            x = x + draw(time) * math.sqrt(beta * (1 - before) / (1 - now))
        yield x


def leading_times(training: int, count: int) -> tuple[int, ...]:
    """Return `count` of so many training steps, evenly spaced from 0, in falling order."""
    return tuple(place * (training // count) for place in reversed(range(count)))


@lru_cache(maxsize=4)
def rounded_schedule(count: int) -> tuple[float, ...]:
    """Return noise_schedule's cumulative products as a sampler in float32 has them."""
    kept = np.float32(1) - noise_schedule(count)[0].astype(np.float32)
    return tuple(np.cumprod(kept, dtype=np.float64).astype(np.float32).tolist())


def clipped_ddim_steps(predict_noise, x, training: int, count: int):
    """
    Yield x after each of `count` denoising steps, whose clean samples are clipped to [-1, 1].

    predict_noise(x, step) -> tensor like x, with the step counted from 0.  x: unit normal noise.
    The noise is not worked out again after the clip.  As in the reference, the schedule is
    rounded to float32.
    """
    kept, times = rounded_schedule(training), leading_times(training, count)
    for step, time in enumerate(times):
        now, before = kept[time], kept[times[step + 1]] if step + 1 < count else 1.0
        noise = predict_noise(x, step)
        clean = ((x - noise * math.sqrt(1 - now)) / math.sqrt(now)).clamp(-1.0, 1.0)
        x = torch.add(clean * math.sqrt(before), noise, alpha=math.sqrt(1 - before))
        yield x
