# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The quantized model that ships is made of the one beside it, and better than rounding."""
import argparse
from pathlib import Path

from libero_bag import LIBERO_BAG
import pytest
from safetensors.torch import load_file
from sqap_vla_ros.commands.sample_options import add_sample_arguments, samples_of
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.samples.answers import action_errors, answers
from sqap_vla_ros.support.resources import bundled_models, model_directory
import torch

MODELS = Path(__file__).resolve().parents[2] / 'models'
MAKE = 'make it again: scripts/quantize_bundled'
LIMIT = 24e6  # bytes that an archive is to carry


def test_the_bundled_models_stay_small():
    assert bundled_models() == ['libero_goal', 'libero_goal_w4']
    assert sum(path.stat().st_size for path in MODELS.rglob('*') if path.is_file()) <= LIMIT


def test_the_quantized_model_is_made_of_the_present_one():
    plain, quantized = (open_checkpoint(model_directory(name))
                        for name in ('libero_goal', 'libero_goal_w4'))
    assert quantized.config.conversion['name'] == 'libero_goal'
    assert quantized.config.conversion['calibration']['samples'] >= 32
    assert quantized.config.quantization['gptq']
    assert quantized.norm_stats == plain.norm_stats
    for name in ('instructions', 'training', 'unnorm_key', 'prompt', 'action_space'):
        assert getattr(quantized.config, name) == getattr(plain.config, name), MAKE
    first, second = (load_file(model_directory(name) / 'model.safetensors')
                     for name in ('libero_goal', 'libero_goal_w4'))
    vision = [name for name in first if name.startswith('vision.')]
    assert vision and all(torch.equal(first[name], second[name]) for name in vision), MAKE


@pytest.fixture(scope='module')
def seen():
    """Return samples of a bag that it has not learnt from, and full precision's answers."""
    parser = argparse.ArgumentParser()
    add_sample_arguments(parser, '--samples')
    source = open_checkpoint(model_directory()).with_key(None)
    samples = samples_of(parser.parse_args(['--config', 'libero_sim']), LIBERO_BAG, source, 6,
                         '--samples').samples
    return samples, answers(load_policy(model_directory()), samples)


@pytest.mark.parametrize('precision, share', [('w4a8', 0.8), ('w4a4t8', 1.0)])
def test_its_weights_are_better_than_rounded_ones(precision, share, seen):
    samples, exact = seen
    errors = [action_errors(exact, answers(load_policy(
        model_directory(name), precision=precision), samples), 4).mean()
        for name in ('libero_goal', 'libero_goal_w4')]
    assert 0 < errors[1] < share * errors[0]
