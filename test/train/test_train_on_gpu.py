# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""scripts/train_on_gpu, as far as a machine without a GPU can tell."""
import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest
from sqap_vla_ros.formats import checkpoint
import torch

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts' / 'train_on_gpu'
ENVIRONMENT = {**os.environ, 'PYTHON': sys.executable}
TINY = ('--device', 'cpu', '--width', '64', '--vit-depth', '1', '--llm-layers', '3',
        '--batch-size', '4', '--fine-steps', '1', '--dtype', 'float32', '--threads', '1')


def run(*arguments, **options):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True,
                          env=ENVIRONMENT, **options)


def test_a_dry_run_leaves_what_is_to_be_carried_home(data, tmp_path):
    """What Python has itself goes before installed wheels, here one that is broken."""
    site = tmp_path / 'out.run' / 'site' / 'tqdm'
    site.mkdir(parents=True)
    (site / '__init__.py').write_text('raise ImportError("a wheel in place of the own module")')
    done = run(data, tmp_path / 'out', *TINY, '--coarse-steps', '1', '--log-every', '2',
               cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'dry run on the CPU' in done.stdout
    assert checkpoint.read_config(tmp_path / 'out' / 'checkpoint').training['step'] == 2
    assert {path.name for path in (tmp_path / 'out').iterdir()} >= {'checkpoint', 'curves.json'}
    assert not (tmp_path / 'out' / 'state.pt').exists()
    assert (tmp_path / 'out.run' / 'state.pt').exists()


def test_a_signal_to_the_script_alone_ends_the_training_and_saves_it(data, tmp_path):
    command = [SCRIPT, data, tmp_path / 'out', *TINY, '--coarse-steps', '100000', '--log-every',
               '1']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          env=ENVIRONMENT, cwd=tmp_path) as process:
        for line in process.stdout:
            if 'samples' in line:
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert 'stopped by SIGTERM: the same command goes on' in rest
    step = torch.load(tmp_path / 'out.run' / 'state.pt', weights_only=True)['step']
    assert checkpoint.read_config(tmp_path / 'out' / 'checkpoint').training['step'] == step


def test_without_arguments_it_says_how_it_is_used(tmp_path):
    done = run(cwd=tmp_path)
    assert done.returncode == 2 and 'train_on_gpu DATA OUT' in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_a_machine_without_cuda_is_told_of_the_dry_run(tmp_path):
    done = run(tmp_path, tmp_path / 'out', cwd=tmp_path)
    assert done.returncode == 1 and '--device cpu' in done.stderr
    assert not (tmp_path / 'out').exists()
