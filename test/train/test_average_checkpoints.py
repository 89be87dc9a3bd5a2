# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""scripts/average_checkpoints: the mean of weights, of one network alone."""
import json
from pathlib import Path
import shutil
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.policy import load_policy
import torch

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / 'models' / 'libero_goal'


def average(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / 'scripts' / 'average_checkpoints'), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def other(tmp_path):
    """Return the bundled policy with other weights and facts of its training."""
    path = tmp_path / 'other'
    shutil.copytree(BUNDLED, path)
    torch.manual_seed(0)
    tensors = load_file(path / 'model.safetensors')
    save_file({name: tensor + torch.randn_like(tensor) / 100 for name, tensor in tensors.items()},
              path / 'model.safetensors', metadata={'format': 'pt'})
    change(path, training={'step': 7})
    return path


def change(path, **entries):
    config = json.loads((path / 'config.json').read_text())
    (path / 'config.json').write_text(json.dumps({**config, **entries}))


def test_the_mean_of_three_is_a_checkpoint_that_tells_what_it_is_of(tmp_path, other):
    out = tmp_path / 'new' / 'mean'
    run = average(out, BUNDLED, other, other)
    assert run.returncode == 0, run.stderr
    first, second, found = (load_file(path / 'model.safetensors')
                            for path in (BUNDLED, other, out))
    assert found.keys() == first.keys()
    for name, tensor in found.items():
        mean = (first[name].double() + 2 * second[name].double()) / 3
        assert torch.equal(tensor, mean.to(first[name].dtype))
    training = json.loads((out / 'config.json').read_text())['training']
    assert training['averaged'][1:] == [{'step': 7}] * 2
    assert training['averaged'][0] == json.loads((BUNDLED / 'config.json').read_text())['training']
    load_policy(out)


def test_what_cannot_be_averaged_is_told_and_nothing_is_written(tmp_path, other):
    out, there = tmp_path / 'mean', tmp_path / 'there'
    there.mkdir()
    stranger, renamed = tmp_path / 'stranger', tmp_path / 'renamed'
    for path in (stranger, renamed):
        shutil.copytree(other, path)
    (stranger / 'norm_stats.json').write_text('{}')
    change(renamed, ensemble=3)
    narrow, broken, more, truncated = (
        tmp_path / name for name in ('narrow', 'broken', 'more', 'truncated'))
    for path in (narrow, broken, more, truncated):
        shutil.copytree(other, path)
    save_file({'one': torch.zeros(1)}, narrow / 'model.safetensors')
    tensors = load_file(other / 'model.safetensors')
    tensors['head.queries'] = tensors['head.queries'] * float('nan')
    save_file(tensors, broken / 'model.safetensors')
    (more / 'deployment.json').write_text('{}')
    (truncated / 'model.safetensors').write_bytes(
        (other / 'model.safetensors').read_bytes()[:1000])
    quantized = ROOT / 'models' / 'libero_goal_w4'
    for arguments, said in (
            ((out, BUNDLED), 'two checkpoints or more'),
            ((out, BUNDLED, tmp_path), 'has no model'),
            ((out, BUNDLED, stranger), 'norm_stats.json is not'),
            ((out, BUNDLED, renamed), 'differs from'), ((out, BUNDLED, narrow), 'other tensors'),
            ((out, BUNDLED, broken), 'head.queries'), ((out, BUNDLED, more), 'deployment.json is'),
            ((out, BUNDLED, truncated), 'copy it again'),
            ((out, quantized, quantized), 'integers'),
            ((out, BUNDLED, tmp_path), 'OUT/checkpoint'),
            ((there, BUNDLED, other), 'is there already')):
        run = average(*arguments)
        assert run.returncode != 0 and said in run.stderr, run.stderr
    assert 'ensemble' in average(out, BUNDLED, renamed).stderr
    assert not out.exists() and not list(there.iterdir())
