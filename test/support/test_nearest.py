# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Misspelt names get the nearest one, wherever they are read."""
import pytest
from sqap_vla_ros.bench.sizes import size_config
from sqap_vla_ros.demo.options import DemoOptions
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.evaluate.plan import plan_rows
from sqap_vla_ros.ingest.images import read_image
from sqap_vla_ros.numerics.precision import parse_overrides
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.support.files import nearest_path
from sqap_vla_ros.support.resources import config_file, model_directory
from sqap_vla_ros.support.validation import nearest


@pytest.mark.parametrize('name, told', [
    ('w4a5', " (did you mean 'w4a4'?)"), ('W8A8', " (did you mean 'w8a8'?)"), ('int3', ''),
    ('w4-a16', " (did you mean 'w4a16'?)"), ('', '')])
def test_the_nearest_name_is_found_whatever_its_case(name, told):
    assert nearest(name, ('fp', 'w4a16', 'w8a8', 'w4a4')) == told


@pytest.mark.parametrize('error, call, name', [
    (ConfigError, lambda: PolicyOptions(precision='w4a44'), 'w4a4'),
    (ConfigError, lambda: PolicyOptions(selection_method='sqpa'), 'sqap'),
    (ConfigError, lambda: PolicyOptions(int8=('visoin',)), 'vision'),
    (ConfigError, lambda: parse_overrides('o_proj: w8a'), 'w8a8'),
    (ConfigError, lambda: plan_rows(['sqapp'], [154], ['none'], ['fp']), 'sqap'),
    (ConfigError, lambda: plan_rows(['fp'], [154], ['blank_image'], ['fp']), 'blank-image'),
    (ConfigError, lambda: size_config('smollm2-135'), 'smollm2-135m'),
    (ConfigError, lambda: config_file('libero-sim.yaml'), 'libero_sim.yaml'),
    (CheckpointError, lambda: model_directory('libero_gaol'), 'libero_goal'),
    (CheckpointError, lambda: DemoOptions(checkpoint='libro_goal').checkpoint_directory,
     'libero_goal')])
def test_every_list_of_names_tells_the_nearest(error, call, name):
    with pytest.raises(error, match=rf"\(did you mean '{name}'\?\)"):
        call()


def test_the_first_part_of_a_path_that_is_missing_is_looked_for(tmp_path):
    (tmp_path / 'data' / 'goal5').mkdir(parents=True)
    right = tmp_path / 'data' / 'goal5'
    assert nearest_path(tmp_path / 'dta' / 'goal5') == f" (did you mean '{right}'?)"
    assert nearest_path(tmp_path / 'data' / 'goal55') == f" (did you mean '{right}'?)"
    assert nearest_path(tmp_path / 'zzz') == nearest_path(right) == ''
    with pytest.raises(ValueError, match=r"goal does not exist \(did you mean '.*/goal5'\?\)"):
        read_image(tmp_path / 'data' / 'goal')
