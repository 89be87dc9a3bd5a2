# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a table says of the type that its rows' encoders multiply in."""
import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate.encoder_type import rounded_vision, unusual
from sqap_vla_ros.evaluate.plan import Row
from sqap_vla_ros.loading import vision_type
from sqap_vla_ros.options import PolicyOptions
from tiny_checkpoint import save_tiny_checkpoint

FULL, FOUR = Row('fp'), Row('w4a8')
ROUNDED = {'vision_dtype': 'bfloat16'}


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Make a checkpoint, and conversions with its encoder in full precision and in 8 bits."""
    place = tmp_path_factory.mktemp('models')
    save_tiny_checkpoint(place / 'tiny')
    for name, more in (('plain', ()), ('int8', ('--int8', 'vision'))):
        assert main(['convert', str(place / 'tiny'), str(place / name), '--precision', 'w4a8',
                     *more]) == 0
    return place


@pytest.fixture
def with_amx(monkeypatch):
    monkeypatch.setattr(vision_type, 'arithmetic', lambda: vision_type.Arithmetic(vision_type.AMX))


@pytest.mark.parametrize('rows, quantized, found', [
    ((), None, ROUNDED), ((FULL,), 'int8', ROUNDED), ((FOUR,), 'int8', {}),
    ((FULL, FOUR), 'int8', ROUNDED), ((FOUR,), 'plain', ROUNDED), ((FOUR,), None, ROUNDED)])
def test_rows_are_told_by_the_weights_that_they_take(
        made, with_amx, capsys, rows, quantized, found):
    weights = quantized and str(made / quantized)
    assert rounded_vision(str(made / 'tiny'), PolicyOptions(), rows, weights) == found
    assert capsys.readouterr().out.count('vision dtype bfloat16: AMX') == len(found)


def test_a_type_that_converted_weights_cannot_have_is_refused_before_any_episode(made):
    options = PolicyOptions(vision_dtype='bfloat16')
    assert rounded_vision(str(made / 'tiny'), options, [FULL], str(made / 'int8')) == ROUNDED
    with pytest.raises(ConfigError, match='vision_dtype is bfloat16, and vision.* integer'):
        rounded_vision(str(made / 'tiny'), options, [FULL, FOUR], str(made / 'int8'))


def test_options_that_decide_answers_leave_out_what_is_recorded_by_itself():
    assert unusual(PolicyOptions(vision_dtype='float32', seed=3)) == {'seed': 3}
