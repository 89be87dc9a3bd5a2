# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The golden checkpoints from end to end: the device's answers against the reference backend's."""

from __future__ import annotations

from pathlib import Path
import sys

from sqap_vla_ros.graphs import Runner
from sqap_vla_ros.kernels.cuda.tuning import without_tuning
from sqap_vla_ros.policy import Policy
from sqap_vla_ros.quant import prepare_kernels
import torch

TESTS = Path(__file__).resolve().parents[2] / 'test'
HEADS = ('openvla', 'cogact')
PRECISIONS = ('fp', 'w4a16', 'w8a8', 'w4a4')
# of samples in about -1..1, or of logits in their standard deviations, in float32; an activation
# beside a rounding boundary may fall to either side of it, and what follows differs by that step
TOLERANCE = {'fp': 2e-3, 'w4a16': 2e-3, 'w8a8': 5e-2, 'w4a4': 1e-1}
_TINY = {'layers': 3, 'patches': 9}
_TINY_PRECISIONS = {'openvla': ('fp',), 'cogact': ('fp', 'w4a4')}  # decoding takes a minute
_REPLAYS = 3  # the first run compiles, the second captures


def measure(device: torch.device, keep: int, tiny: bool) -> dict:
    """
    Return the difference of the answers for every head, precision and budget; see `error`.

    In float32 on both sides it must be within the tolerance.  bfloat16, in which a GPU runs
    otherwise, differs by its own rounding: that is told, and not judged.
    """
    sys.path.insert(0, str(TESTS))
    rows = []
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        for head in HEADS:
            for precision in _TINY_PRECISIONS[head] if tiny else PRECISIONS:
                for kept in (keep,) if tiny else (None, keep):
                    rows.append(_row(head, precision, kept, device, tiny))
                    print(f'   {rows[-1]}', flush=True)
    finally:
        torch.backends.cudnn.allow_tf32 = before
    return {'ok': all(row['ok'] for row in rows), 'checks': rows}


def _row(head: str, precision: str, keep: int | None, device: torch.device, tiny: bool) -> dict:
    sizes, times = (_TINY, 1) if tiny else ({}, _REPLAYS)
    expected = answers(reference_policy(head, precision, keep, sizes), head, tiny, 1)

    def largest(dtype):
        with without_tuning():  # sizes that no robot's network has
            policy = device_policy(head, precision, keep, device, dtype, sizes)
            found = answers(policy, head, tiny, times)
        return max(error(*pair) for pair in zip(found, expected))
    row = {'head': head, 'precision': precision, 'keep': keep, 'error': largest(torch.float32),
           'tolerance': TOLERANCE[precision]}
    if device.type == 'cuda':
        row['bfloat16'] = largest(torch.bfloat16)
    return {**row, 'ok': bool(row['error'] <= row['tolerance'])}


def reference_policy(head: str, precision: str, keep: int | None, sizes: dict) -> Policy:
    """Return a golden checkpoint on the CPU, with the reference backend in every layer."""
    import golden_data
    policy = golden_data.load(head, sizes, precision=precision, keep=keep, prepare=False)
    prepare_kernels(policy.model, backend='reference')
    return policy


def device_policy(head: str, precision: str, keep: int | None, device: torch.device,
                  dtype: torch.dtype, sizes: dict) -> Policy:
    """Return it on the device as a user loads it; on a CPU with the interpreted kernels."""
    import golden_data
    if device.type == 'cuda':
        return golden_data.load(head, sizes, precision=precision, keep=keep, device=str(device),
                                dtype=dtype)
    policy = golden_data.load(head, sizes, precision=precision, keep=keep, prepare=False)
    prepare_kernels(policy.model, backend='triton')
    policy.runner = Runner(policy.model, policy.inputs, device, dtype)
    return policy


def answers(policy: Policy, head: str, tiny: bool, times: int) -> list[dict]:
    """
    Return what the head gave for each golden case: `raw`, and `logits` [A, V] where it has any.

    times: how often each case is run.  What comes back is of the last one: a replay of a captured
    graph, which has seen the other case in between, and which no hook sees the logits of.
    """
    import golden_data
    module, found = policy.model.head, {}
    read = module.normalised
    for _ in range(times):
        for case in golden_data.CASES[:1] if tiny else golden_data.CASES:
            answer = found[case] = {'logits': []}
            module.normalised = lambda raw: (answer.update(raw=raw.float().clone()), read(raw))[1]
            hook = module.register_forward_hook(
                lambda _, inputs, output: answer['logits'].append(output.detach().float().cpu()))
            noise = (golden_data.expected(f'cogact_case{case}')['noise'] if head == 'cogact'
                     else None)
            policy.reset()
            policy.infer(golden_data.observation(case), noise)
            hook.remove()
    del module.normalised  # the method again
    return list(found.values())


def error(found: dict, expected: dict) -> float:
    """
    Return how far an answer is from the reference's.

    Of a sample, the largest difference.  Of tokens, how much less the reference likes the first
    one that differs than its own, in standard deviations of its logits: next to nothing where
    two were as good as equal.  What comes behind it answers another question.
    """
    off = (found['raw'] - expected['raw']).abs()[0]
    if off.dim() == 2:
        return off.max().item()
    for place in off.nonzero().flatten().tolist()[:1]:
        logits = expected['logits'][place][0]
        chosen, other = (int(answer['raw'][0, place]) for answer in (expected, found))
        return ((logits[chosen] - logits[other]) / logits.std()).item()
    return 0.0
