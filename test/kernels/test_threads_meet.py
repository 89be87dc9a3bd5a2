# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Threads of the native blocks wait for each other where one needs what another has made.

More threads than cores, and two teams at once, so that threads come late and sleep.
"""

from concurrent.futures import ThreadPoolExecutor
import dataclasses
import os

import pytest
from sqap_vla_ros.bench import sides, sizes
from sqap_vla_ros.kernels import native_reason
import torch

needs_native = pytest.mark.skipif(bool(native_reason()), reason=native_reason() or 'native')
THREADS, TURNS = (os.cpu_count() or 1) + 4, 25


@pytest.fixture(scope='module')
def network():
    config = sizes.size_config('bundled')
    config = dataclasses.replace(config, prune_layer=1, llm=dataclasses.replace(
        config.llm, num_layers=2))
    torch.manual_seed(0)
    return sides.quantized_model(config, 'w4a8', 'fp')


@pytest.fixture
def parts(network):
    """Return functions that run a block of the decoder and one of the encoder."""
    torch.manual_seed(1)
    x, patches = torch.randn(1, 90, 256), torch.randn(1, 256, 256)
    layer, encoder = network.llm.layers[0], network.vision.blocks[0]
    cos, sin = (table[:90] for table in network.llm.rotary(90, x))
    with torch.inference_mode():
        assert layer.native.serves(x) and encoder.native.serves(patches)
    return {'decoder': lambda: layer(x, cos, sin)[0], 'encoder': lambda: encoder(patches)}


@torch.inference_mode()
def answers(part, threads: int, turns: int) -> list[torch.Tensor]:
    torch.set_num_threads(threads)
    return [part().clone() for _ in range(turns)]


@pytest.fixture
def wanted(parts):
    return {name: answers(part, 1, 1)[0] for name, part in parts.items()}


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@needs_native
@pytest.mark.parametrize('name', ['decoder', 'encoder'])
def test_more_threads_than_cores_change_no_bit(parts, wanted, name):
    for found in answers(parts[name], THREADS, TURNS):
        assert torch.equal(found, wanted[name])


@needs_native
def test_two_teams_at_once_do_not_meet_each_other(parts, wanted):
    with ThreadPoolExecutor(2) as pool:
        started = {name: pool.submit(answers, parts[name], 3, TURNS) for name in parts}
        for name, future in started.items():
            for found in future.result(timeout=60):
                assert torch.equal(found, wanted[name])
