# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What 'auto' stands for, by machine and checkpoint: each rule on a machine that is made up."""
from dataclasses import replace
from pathlib import Path

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.formats.checkpoint import read_config
from sqap_vla_ros.kernels import native_reason
from sqap_vla_ros.kernels.base import Unavailable
from sqap_vla_ros.loading import machines
from sqap_vla_ros.loading.auto_precision import Checkpoint, choose_precision, Machine
from sqap_vla_ros.loading.needs import needed_bytes
from sqap_vla_ros.numerics.precision import same_weights
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.support.memory import total_bytes
import torch

MIB = 2 ** 20
GIB = 2 ** 30
NEEDS = {'fp': 14.0 * GIB, 'w8a8': 8.0 * GIB, 'w4a8': 5.0 * GIB}  # of 7 billion parameters
AVX2 = Machine('this CPU (avx2)', 'native', has_fast_8_bit=False, memory_bytes=64 * GIB)
VNNI = Machine('this CPU (avx512_vnni)', 'native', memory_bytes=64 * GIB)
NO_COMPILER = Machine('this CPU', 'fbgemm', has_fast_8_bit=False, memory_bytes=64 * GIB)


def gpu(major, minor, backend='triton', gib=80, **facts):
    """Return a GPU of a compute capability."""
    return Machine(f'GPU {major}.{minor}', backend, number=(major, minor),
                   memory_bytes=gib * GIB, **facts)


def chosen(machine, **facts):
    """Return what auto stands for on a machine, for a checkpoint of 7 billion parameters."""
    return choose_precision(machine, Checkpoint(NEEDS.get, **facts))


@pytest.mark.parametrize(('machine', 'facts', 'precision', 'words'), [
    (AVX2, {}, 'w4a8', ['4- and 8-bit activations alike, in int8', 'no time', 'take longer',
                        'rounded to nearest', '--calibration']),
    (VNNI, {}, 'w8a8', ['avx512_vnni', 'as fast as those of 4 bits', 'next to nothing']),
    (VNNI, {'decodes': True}, 'w4a8', ['token by token', 'int8', '--calibration']),
    (NO_COMPILER, {}, 'fp', ['backend fbgemm', 'full precision']),
    (gpu(8, 6), {}, 'w8a8', ['no GPU has been timed']),
    (gpu(8, 7), {'decodes': True}, 'w4a8', ['no kernel here uses its int4 units yet']),
    (gpu(9, 0), {}, 'w8a8', ['no GPU has been timed']),
    (gpu(9, 0), {'decodes': True}, 'w4a8', ['in int8, so that', 'no GPU has been timed']),
    (gpu(10, 0, is_legacy=True), {}, 'fp', ["faster int8 products than Triton's"]),
    (gpu(7, 5, 'torch'), {}, 'fp', ['backend torch']),
    (gpu(7, 5, 'torch', gib=20), {}, 'w8a8', ['has room for 8 bits', 'fp 14336 MiB']),
    (gpu(7, 0, 'reference', gib=16, has_fast_8_bit=False), {}, 'w4a8', ['in floats'])])
def test_weights_in_full_precision_take_what_loses_least_at_full_speed(
        machine, facts, precision, words):
    choice = chosen(machine, **facts)
    assert choice.precision == precision
    for word in words:
        assert word in choice.reason
    assert ('--calibration' in choice.reason) == (precision == 'w4a8')
    assert ('to nearest' in choice.doubt) == bool(choice.doubt) == (precision == 'w4a8')
    assert str(choice) == f'{precision}, chosen by auto: {choice.reason}'


@pytest.mark.parametrize(('gib', 'precision', 'words'), [
    (16, 'w8a8', []), (15, 'w4a8', ['w8a8 8192 MiB: more than half of the 15360 MiB there']),
    (9, 'w4a8', ['w8a8 8192 MiB, w4a8 5120 MiB: more than half of the 9216 MiB there, and '
                 'nothing takes less']), (0, 'w8a8', [])])
def test_what_takes_more_than_half_of_the_memory_is_passed_over(gib, precision, words):
    choice = chosen(gpu(8, 6, gib=gib))
    assert choice.precision == precision
    for word in words:
        assert word in choice.reason
    assert ('MiB' in choice.reason) == bool(words)


@pytest.mark.parametrize('machine', [AVX2, VNNI, NO_COMPILER, gpu(8, 7), gpu(9, 0)])
@pytest.mark.parametrize('stored', ['w4a4', 'w4a4t8', 'w4a8'])
def test_converted_weights_of_4_bits_take_8_bit_activations(machine, stored):
    for calibrated, rounding in ((True, 'GPTQ rounded them'), (False, 'rounded to nearest')):
        choice = chosen(machine, stored=stored, is_calibrated=calibrated)
        assert (choice.precision, choice.doubt) == ('w4a8', '')
        assert 'its 4-bit weights serve w4a8, w4a4t8, w4a4' in choice.reason
        assert rounding in choice.reason
        assert ('--calibration' in choice.reason) == (not calibrated)


def test_weights_with_one_activation_scale_for_all_tokens_serve_no_bits_by_kind():
    choice = chosen(AVX2, stored='w4a4', per_token=False)
    assert choice.precision == 'w4a8' and 'weights serve w4a8, w4a4, and' in choice.reason
    record = {'precision': 'w4a4', 'gptq': True, 'per_token': False}
    found = machines.auto_precision(TestThisMachine.MODEL, record, torch.device('cpu'))
    assert 'weights serve w4a8, w4a4, and GPTQ' in found.reason


@pytest.mark.parametrize('stored', ['fp', 'w8a8', 'w4a16'])
def test_other_converted_weights_keep_their_precision(stored):
    choice = chosen(AVX2, stored=stored)
    assert choice.precision == stored and f'was converted to {stored}' in choice.reason
    assert same_weights(stored) == (stored,)


class TestThisMachine:
    """What is found here, with kernels that are there or not."""

    MODEL = read_config(Path(__file__).parents[2] / 'models/libero_goal').model

    def found(self):
        """Return this processor as the bundled policy meets it."""
        return machines.machine_of(torch.device('cpu'), self.MODEL)

    def test_this_cpu_is_what_its_kernels_make_it(self):
        machine = self.found()
        assert 2 ** 28 < machine.memory_bytes == total_bytes() and machine.number is None
        assert (machine.backend == 'native') == (not native_reason())
        assert machine.missing == native_reason()

    def test_why_the_native_kernels_are_missing_is_kept(self, monkeypatch):
        def instruction_set():
            raise Unavailable('no compiler')
        monkeypatch.setattr(machines, 'instruction_set', instruction_set)
        assert self.found().missing == 'no compiler'

    @pytest.mark.parametrize(('serving', 'has_vnni', 'is_fast', 'has_fast_8_bit'), [
        ({4: 'native', 8: 'native'}, True, True, True),
        ({4: 'native', 8: 'native'}, False, True, False),
        ({4: 'native', 8: 'float'}, True, True, False),
        ({4: 'fbgemm', 8: 'float'}, False, False, False),
        ({4: 'float', 8: 'float'}, False, False, True)])
    def test_the_kernels_of_both_kinds_of_weights_are_asked(
            self, monkeypatch, serving, has_vnni, is_fast, has_fast_8_bit):
        asked = []

        def kernel(inputs, weight_bits, act_bits):
            asked.append((inputs, act_bits))
            return type('Kernel', (), {'name': serving[weight_bits]})
        monkeypatch.setattr(machines, 'serving_kernel', kernel)
        monkeypatch.setattr(machines, 'instruction_set', lambda: 'some')
        monkeypatch.setattr(machines, 'multiplies_bytes', lambda: has_vnni)
        machine = self.found()
        assert (machine.is_fast, machine.has_fast_8_bit) == (is_fast, has_fast_8_bit)
        assert set(asked) == {(self.MODEL.llm.intermediate_size, 8)}

    @pytest.mark.parametrize(('number', 'reason', 'note', 'backend', 'eight'), [
        ((9, 0), '', '', 'triton', True), ((10, 0), '', 'mma.sync', 'triton', True),
        ((8, 6), 'no gcc', '', 'torch', True), ((7, 0), 'old', '', 'reference', False)])
    def test_a_gpu_is_what_its_capability_and_triton_make_it(
            self, monkeypatch, number, reason, note, backend, eight):
        facts = machines.Capability('Card', number, 24 * GIB, note=note)
        monkeypatch.setattr(machines, 'capability', lambda device: facts)
        monkeypatch.setattr(machines, 'unavailable', lambda device: reason)
        assert machines.machine_of(torch.device('cuda'), self.MODEL) == Machine(
            f'Card (compute capability {number[0]}.{number[1]})', backend, eight, number,
            bool(note), 24 * GIB, reason)

    def test_what_weights_need_is_less_for_fewer_bits_and_on_a_gpu(self):
        on_gpu = {name: needed_bytes(self.MODEL, {}, name, on_cpu=False)
                  for name in ('fp', 'w8a8', 'w4a8')}
        count = on_gpu['fp'] / 2
        assert on_gpu['fp'] == needed_bytes(self.MODEL, {}, 'fp') / 2 > 10 * MIB
        width, inner = self.MODEL.llm.hidden_size, self.MODEL.llm.intermediate_size
        decoder = self.MODEL.llm.num_layers * width * (3 * width + 3 * inner)  # k, v: half as wide
        assert count > decoder
        assert on_gpu['fp'] - on_gpu['w8a8'] == pytest.approx(decoder, rel=0.05)
        assert on_gpu['fp'] - on_gpu['w4a8'] == pytest.approx(1.5 * decoder, rel=0.05)


def test_a_policy_tells_what_auto_stands_for_and_answers_as_that(tiny):
    policy = load_policy(tiny, precision='auto')
    machine = machines.machine_of(torch.device('cpu'), policy.config.model)
    expected = choose_precision(machine, Checkpoint(lambda name: 0))
    assert policy.precision == expected.precision != 'auto'
    assert policy.precision_reason == expected.reason
    assert policy.twin(None).precision_reason == expected.reason
    plain = load_policy(tiny)
    assert (plain.precision, plain.precision_reason) == ('fp', '')


@pytest.mark.parametrize('machine, words', [
    (replace(NO_COMPILER, missing='no c++'), ['is fp here', 'missing (no c++)', 'name the']),
    (gpu(7, 0, 'reference', gib=16, has_fast_8_bit=False, missing='old'),
     ['is w4a8 here', 'missing (old)', 'to nearest'])])
def test_a_choice_that_hangs_on_kernels_that_are_missing_is_doubted(machine, words):
    choice = chosen(machine)
    for word in words:
        assert word in choice.doubt
    assert chosen(machine, stored='w4a4').doubt == ''  # the same with all kernels


@pytest.mark.parametrize(('machine', 'warnings'), [(AVX2, 1), (NO_COMPILER, 0)])
def test_rounding_to_nearest_that_only_auto_asked_for_is_warned_of(
        tiny, monkeypatch, caplog, machine, warnings):
    monkeypatch.setattr(machines, 'machine_of', lambda device, config: machine)
    load_policy(tiny, precision='auto')
    load_policy(tiny, precision='w4a8')  # as asked for
    told = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING'
            and 'auto' in record.getMessage()]
    assert len(told) == warnings
    for text in told:
        assert text.startswith(f'{tiny}: ') and 'to nearest' in text and '--calibration' in text


def test_own_is_the_word_for_what_a_checkpoint_is_stored_in():
    assert PolicyOptions(precision='own') == PolicyOptions() != PolicyOptions(precision='auto')


@pytest.mark.parametrize(('text', 'message'), [
    ('Auto', "'Auto'; did you mean 'auto'|is 'Auto'"), ('automatic', "is 'automatic'"),
    (8, 'expected a text')])
def test_other_words_for_auto_are_refused(text, message):
    with pytest.raises(ConfigError, match=f'precision.*({message})'):
        PolicyOptions(precision=text)


def test_auto_on_a_device_that_is_not_there_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ConfigError, match="device 'cuda' was asked for, but"):
        load_policy(tiny, precision='auto', device='cuda')
