# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""scripts/train_on_gpu, as far as a machine without a GPU can tell."""
import os
from pathlib import Path
import subprocess
import sys

import pytest
from sqap_vla_ros.model import checkpoint
import torch
from training_data import write_data

SCRIPT = Path(__file__).resolve().parents[1] / 'scripts' / 'train_on_gpu'


def run(*arguments, **options):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, 'PYTHON': sys.executable}, **options)


def test_a_dry_run_leaves_what_is_to_be_carried_home(tmp_path):
    data = tmp_path / 'data'
    data.mkdir()
    write_data(data)
    done = run(data, tmp_path / 'out', '--device', 'cpu', '--width', '64', '--vit-depth', '1',
               '--llm-layers', '3', '--batch-size', '4', '--coarse-steps', '1',
               '--fine-steps', '1', '--log-every', '2', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'dry run on the CPU' in done.stdout
    assert checkpoint.read_config(tmp_path / 'out' / 'checkpoint').training['step'] == 2
    assert {path.name for path in (tmp_path / 'out').iterdir()} >= {'checkpoint', 'curves.json'}
    assert not (tmp_path / 'out' / 'state.pt').exists()
    assert (tmp_path / 'out.run' / 'state.pt').exists()


def test_without_arguments_it_says_how_it_is_used(tmp_path):
    done = run(cwd=tmp_path)
    assert done.returncode == 2 and 'train_on_gpu DATA OUT' in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_a_machine_without_cuda_is_told_of_the_dry_run(tmp_path):
    done = run(tmp_path, tmp_path / 'out', cwd=tmp_path)
    assert done.returncode == 1 and '--device cpu' in done.stderr
    assert not (tmp_path / 'out').exists()
