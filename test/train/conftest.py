# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Demonstrations that the training tests of a run share and never change."""
import pytest
from training_data import write_data


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    """Write two shards of a task that can be learned in seconds."""
    return write_data(tmp_path_factory.mktemp('data'))
