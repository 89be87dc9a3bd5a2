# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The golden checkpoints from end to end: the device's answers against the reference backend's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from functools import partial
from pathlib import Path
import sys
import time

from sqap_vla_ros.inference import Runner
from sqap_vla_ros.kernels.cuda.tuning import without_tuning
from sqap_vla_ros.policy import Policy
from sqap_vla_ros.quant import prepare_kernels
import torch

from .checks import run
from .closeness import differences, verdict
from .compare import relative_error

TESTS = Path(__file__).resolve().parents[2] / 'test'
HEADS = ('openvla', 'cogact')
PRECISIONS = ('fp', 'w4a16', 'w8a8', 'w4a4')
_TINY = {'layers': 3, 'patches': 9}
_TINY_PRECISIONS = {'openvla': ('fp',), 'cogact': ('fp', 'w4a4')}  # decoding takes a minute
_REPLAYS = 3  # the first run compiles, the second captures


def cases(device: torch.device, keep: int, tiny: bool) -> dict[str, Callable]:
    """Return what gives the rows of every head, precision and budget, by name."""
    found = {}
    for head in HEADS:
        for precision in _TINY_PRECISIONS[head] if tiny else PRECISIONS:
            for kept in (keep,) if tiny else (None, keep):
                found[f'{head} {precision}, keep {kept}'] = partial(
                    rows, head, precision, kept, device, tiny)
    return found


def measure(device: torch.device, keep: int, tiny: bool, seconds: float, keep_rows) -> dict:
    """
    Return how far the answers are from the reference's, in float32 and in bfloat16; see closeness.

    A case that fails its limits fails the section, and so does one that there is no time for.
    keep_rows(content): saves what is known so far.
    """
    every, end, found = cases(device, keep, tiny), time.perf_counter() + seconds, []
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        for name, case in every.items():
            if time.perf_counter() > end:
                found.append({'name': name, 'ok': False, 'error': 'no time was left for it'})
                continue
            for row in run(name, case):
                print(f'   {"right" if row["ok"] else "WRONG"} {row}', flush=True)
                found.append(row)
            keep_rows({'checks': found})
    finally:
        torch.backends.cudnn.allow_tf32 = before
    return {'ok': all(row['ok'] for row in found), 'checks': found}


def rows(head: str, precision: str, keep: int | None, device: torch.device,
         tiny: bool) -> Iterator[dict]:
    """Yield the comparison of a network, in float32 and on a GPU in bfloat16 too."""
    sys.path.insert(0, str(TESTS))
    import golden_data
    sizes, chosen = (_TINY, golden_data.CASES[:1]) if tiny else ({}, golden_data.CASES)
    reference = reference_policy(head, precision, keep, sizes)
    with recorded(reference.model.llm) as blocks:
        expected = answers(reference, head, chosen)
    for dtype in (torch.float32, torch.bfloat16) if device.type == 'cuda' else (torch.float32,):
        with without_tuning():  # sizes that no robot's network has
            policy = device_policy(head, precision, keep, device, dtype, sizes)
            found = compared(policy, head, chosen, expected, blocks, device, dtype,
                             device.type == 'cuda')
        yield verdict({'head': head, 'precision': precision, 'keep': keep,
                       'dtype': str(dtype)[6:], **found}, dtype, head == 'cogact')


def compared(policy: Policy, head: str, chosen, expected: list[dict], blocks: list,
             device: torch.device, dtype: torch.dtype, is_captured: bool) -> dict:
    """
    Return what closeness.verdict judges.

    The answers are those of a run kernel by kernel and, with is_captured, of replayed graphs that
    have seen the other case in between; of each case the worse one counts.
    """
    module, problems = policy.model.head, []
    gripper = getattr(module.config, 'gripper_index', -1)
    block = block_errors(policy.model.llm, blocks, device, dtype)
    policy.runner = Runner(policy.model, policy.inputs, device, dtype, capture=False)
    found = [answers(policy, head, chosen)]
    if is_captured:
        policy.runner = Runner(policy.model, policy.inputs, device, dtype)
        found.append(answers(policy, head, chosen, _REPLAYS))
        problems = policy.runner.problems or (
            [] if policy.runner.captured else ['nothing was captured'])
    pairs = [[differences(one, other, gripper) for one, other in zip(every, expected)]
             for every in found]
    return {'largest': [max(pair[0] for pair in case) for case in zip(*pairs)],
            'median': [max(pair[1] for pair in case) for case in zip(*pairs)],
            'block': block, 'problems': problems,
            'kept': [max(others(one, two) for one in case) for *case, two in zip(
                *found, expected)]}


def others(found: dict, expected: dict) -> int:
    """Return how many of the kept tokens the reference did not keep."""
    if expected['kept'] is None:
        return 0
    return len(set(found['kept'].tolist()) - set(expected['kept'].tolist()))


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
    return policy


@contextlib.contextmanager
def recorded(llm) -> Iterator[list]:
    """Give a list of (block, x, cos, sin, y) of every prefill in this block."""
    found: list = []

    def note(index, given, output):
        if given[0].shape[1] > 1:
            found.append((index, *given[:3], output[0]))
    hooks = [layer.register_forward_hook(
        lambda _, given, output, index=index: note(index, given, output))
        for index, layer in enumerate(llm.layers)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def block_errors(llm, blocks: list, device: torch.device, dtype: torch.dtype) -> list[float]:
    """Return how far what each decoder block adds is from the reference's, on its very input."""
    errors = [0.0] * len(llm.layers)
    for index, x, cos, sin, y in blocks:
        given = (part.to(device, dtype) for part in (x, cos, sin))
        found = llm.layers[index](*given)[0].float().cpu()
        error = relative_error(found - x, y - x)
        errors[index] = max(errors[index], error if error == error else float('inf'))
    return errors


def answers(policy: Policy, head: str, chosen, times: int = 1) -> list[dict]:
    """
    Return what the head gave for each golden case: `raw`, `kept` and any `logits` [1, V].

    times: how often each case is run; what comes back is of the last one.  Logits are only seen
    where the network runs kernel by kernel: not while it is captured, nor in replays.
    """
    import golden_data
    module, found = policy.model.head, []
    read = module.normalised
    for _ in range(times):
        found = []
        for case in chosen:
            found.append({'logits': [], 'kept': None})
            with watched(module, found[-1], read):
                noise = (golden_data.expected(f'cogact_case{case}')['noise'] if head == 'cogact'
                         else None)
                policy.reset()
                chunk = policy.infer(golden_data.observation(case), noise)
            if chunk.selection is not None:
                found[-1]['kept'] = chunk.selection.kept
    return found


@contextlib.contextmanager
def watched(module, answer: dict, read) -> Iterator[None]:
    """Write what a head gives in this block into an answer; read: its own `normalised`."""
    def note(_, inputs, output):
        if not (output.is_cuda and torch.cuda.is_current_stream_capturing()):
            answer['logits'].append(output.detach().float().cpu())
    module.normalised = lambda raw: (answer.update(raw=raw.float().clone()), read(raw))[1]
    hook = module.register_forward_hook(note)
    try:
        yield
    finally:
        hook.remove()
        del module.normalised  # the method again
