# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""In full precision a rotated OpenVLA-OFT is the plain one: every head, with FiLM and a state."""
import copy

import pytest
from small_models import make_oft, oft_answer, relative
from sqap_vla_ros.quant import packed_state, quantize_model, quantized_shell
from sqap_vla_ros.quant.rotate import RotatedTime, UnrotatedNorm
import torch

KEPT = torch.tensor([0, 3, 4, 9, 17, 18, 30])
CASES = [('regression', {}), ('regression', {'film': True}), ('regression', {'state_dim': 0}),
         ('regression', {'width': 72, 'heads': 3, 'kv_heads': 3}), ('tokens', {}),
         ('diffusion', {}), ('diffusion', {'film': True, 'width': 96, 'heads': 6})]


def rotated_and_plain(reads, options):
    plain = make_oft(reads, **options)
    rotated = copy.deepcopy(plain)
    return rotated, plain, quantize_model(rotated, 'fp', rotate=True)


@pytest.mark.parametrize(('reads', 'options'), CASES)
@pytest.mark.parametrize('keep', [None, KEPT], ids=['all', 'pruned'])
@torch.inference_mode()
def test_rotated_equals_plain(reads, options, keep):
    rotated, plain, record = rotated_and_plain(reads, options)
    assert record['rotation']['unrotated_final'] == (reads != 'tokens')
    expected, found = (oft_answer(model, keep) for model in (plain, rotated))
    assert relative(found['visual'], expected['visual']) > 0.5  # the basis is another
    assert torch.allclose(found['scores'], expected['scores'], rtol=1e-3, atol=1e-6)
    if reads == 'tokens':
        assert torch.equal(found['raw'], expected['raw'])
        assert relative(found['logits'], expected['logits']) < 1e-4
    else:
        assert relative(found['hidden'], expected['hidden']) < 1e-4
        assert relative(found['raw'], expected['raw']) < 1e-4


@pytest.mark.parametrize('part', ['state', 'time', 'noisy', 'film', 'projector', 'norm'])
@torch.inference_mode()
def test_each_part_has_to_be_rotated(part):
    """What the comparison above would say of a part that was forgotten."""
    plain = make_oft('diffusion', film=True)
    rotated = copy.deepcopy(plain)
    quantize_model(rotated, 'fp', rotate=True)
    before, after = copy.deepcopy(plain), rotated
    if part == 'film':
        for old, new in zip(before.vision.blocks, after.vision.blocks):
            new.scale, new.shift = old.scale, old.shift
    elif part == 'norm':
        after.llm.norm = after.llm.norm.norm
    else:
        owner, name = {'state': ('', 'state_embed'), 'time': ('head', 'time'),
                       'noisy': ('head', 'noisy'), 'projector': ('', 'projector')}[part]
        setattr(after.get_submodule(owner), name, getattr(before.get_submodule(owner), name))
    expected, found = (oft_answer(model) for model in (plain, rotated))
    assert relative(found['hidden'], expected['hidden']) > 1e-3


@torch.inference_mode()
def test_zeros_stay_zeros_and_time_steps_keep_their_length():
    rotated, plain, _ = rotated_and_plain('diffusion', {})
    assert isinstance(rotated.head.time, RotatedTime)
    assert isinstance(rotated.llm.norm, UnrotatedNorm)
    like = torch.zeros(())
    for step in range(plain.head.config.training_steps):
        before, after = plain.head.time(step, like), rotated.head.time(step, like)
        assert after.shape == before.shape == (1, 1, 64)
        assert torch.allclose(after.norm(), before.norm(), rtol=1e-5)
        assert relative(after, before) > 0.3


@pytest.mark.parametrize(('reads', 'options', 'precision'), [
    ('regression', {'film': True}, 'w4a8'), ('diffusion', {}, 'fp'), ('tokens', {}, 'w8a8')])
@torch.inference_mode()
def test_packed_weights_come_back(reads, options, precision):
    model = make_oft(reads, **options)
    record = quantize_model(model, precision, overrides={'vision': 'w8a8', 'state_embed': 'w8a8'})
    again = make_oft(reads, **options)
    quantized_shell(again, record)
    again.load_state_dict(packed_state(model), assign=True)
    for name, value in oft_answer(model).items():
        assert torch.equal(oft_answer(again)[name], value), name


@torch.inference_mode()
def test_eight_bits_are_near_full_precision():
    plain = make_oft('diffusion')
    quantized = copy.deepcopy(plain)
    quantize_model(quantized, 'w8a8')
    expected, found = (oft_answer(model, KEPT) for model in (plain, quantized))
    assert relative(found['hidden'], expected['hidden']) < 0.05
