# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How the backbone's time grows with the kept tokens, the text and the batch."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import time

from sqap_vla_ros.bench.timing import percentiles
from sqap_vla_ros.inference.capture import Recorder, Recording
from sqap_vla_ros.model.vla import VLA, VLAConfig
import torch

from .clock import synchronize
from .engine import Side
from .models import ready_model, release
from .pairs import in_turn
from .shapes import BASELINE, Plan, SQAP, Variant

KEPT, TEXT, BATCH = 'kept visual tokens', 'prompt tokens', 'batch'
_ROUNDS = 10


def measure(config: VLAConfig, plan: Plan, device: torch.device, dtype: torch.dtype,
            seconds: float, keep) -> dict:
    """
    Return {axis: {side: [[x, p50 of the backbone in ms], ...]}}.

    Both sides of a point are timed in turn; `ended_early` names what there was no time for.
    keep(content): saves what is known so far.
    """
    end = time.perf_counter() + seconds
    plain, ours = Variant(BASELINE), Variant(SQAP, 'w4a4', plan.keep)
    models = {variant.name: ready_model(config, variant, device, dtype)
              for variant in (plain, ours)}
    curves: dict[str, dict[str, list]] = {}
    ended: list[str] = []

    def grow(axis: str, values, point: Callable) -> None:
        for value in values:
            if time.perf_counter() > end:
                print(f'   no time left for {axis} {value}', flush=True)
                ended.append(f'{axis} from {value} on')
                keep({'ended_early': ended})
                return
            for name, ms in point(value).items():
                curves.setdefault(axis, {}).setdefault(name, []).append([value, ms])
            release(device)
            keep({'curves': curves})

    def timed(variants, changed: VLAConfig) -> dict[str, float]:
        sides = [Side(variant, models[variant.name], changed, device, dtype)
                 for variant in variants]
        for side in sides:
            side.warm_up()
        times = in_turn(sides, min(_ROUNDS, plan.rounds), (end - time.perf_counter()) / 4)
        return {name: percentiles(rows['backbone'])['p50'] for name, rows in times.items()}

    grow(KEPT, plan.kept, lambda kept: timed(
        [dataclasses.replace(variant, keep=kept) for variant in (plain, ours)], config))
    grow(BATCH, plan.batches, lambda batch: {
        variant.name: batch_ms(models[variant.name], config, variant, batch, device, dtype, plan)
        for variant in (plain, ours)})
    grow(TEXT, plan.texts, lambda text: timed(
        (plain, ours), dataclasses.replace(config, text_length=text)))
    return {'curves': curves}


@torch.inference_mode()
def batch_ms(model: VLA, config: VLAConfig, variant: Variant, batch: int, device: torch.device,
             dtype: torch.dtype, plan: Plan) -> float:
    """
    Return the median milliseconds of both prefills for several images at a time.

    All of them keep the same tokens: the choice itself is not in this time.
    """
    model.config, model.head.config = config, config.head
    tokens = 1 + config.num_visual + config.text_length
    x = torch.randn(batch, tokens, config.llm.hidden_size, device=device).to(dtype)
    kept = None
    if variant.keep is not None:
        kept = torch.linspace(0, config.num_visual - 1, variant.keep, device=device).long()
    recorder = Recorder(device)
    synchronize(device)  # the recorder has a stream of its own

    def backbone() -> None:
        hidden, _ = model.prefill_full(x, None, variant.keep is not None)
        model.prefill_kept(hidden, kept, None)
    recording = Recording(recorder, f'a batch of {batch}', {'backbone': backbone})
    found, first_runs = [], 3 if device.type == 'cuda' else 0
    with recorder.active():
        for _ in range(first_runs + min(_ROUNDS, plan.rounds)):
            marks = recording.run()
            recorder.wait()
            found.append(recorder.milliseconds(*marks))
    return percentiles(found[first_runs:])['p50']
