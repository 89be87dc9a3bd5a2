# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark's side of llama.cpp: the same network in its format."""
import numpy as np
from peers import llama_cpp_runtime, parts, sides
import pytest
from small_peers import small_peer
from sqap_vla_ros.bench import sizes
from sqap_vla_ros.model import llama
import torch

KIND = 'Q8_0'


@pytest.fixture
def network(monkeypatch):
    """Return a small network's one part as peers run it, its input and its answer."""
    model, given = small_peer(monkeypatch, (128, 256, 4, 4, 2))
    module, example = parts.parts(model, given, has_vision=False, selects=False)['backbone']
    return module, example, given.raw[False].numpy()


def rotated_neighbours(x, position: int, theta: float):
    """Return x [H, d] as llama.cpp rotates it: channel 2 i with channel 2 i + 1."""
    width = x.shape[1]
    angle = position * theta ** (-np.arange(0, width, 2) / width)
    even, odd = x[:, ::2], x[:, 1::2]
    found = np.empty_like(x)
    found[:, ::2] = even * np.cos(angle) - odd * np.sin(angle)
    found[:, 1::2] = even * np.sin(angle) + odd * np.cos(angle)
    return found


def test_queries_meet_keys_as_in_our_rotary_embedding():
    rng, heads, width = np.random.default_rng(0), 3, 8
    queries, keys = (rng.normal(size=(heads * width, 16)) for _ in range(2))
    x, y = rng.normal(size=(2, 16))
    cos, sin = (table.double() for table in llama.rotary_tables(
        torch.tensor([5, 9]), width, 10000.0))
    ours = [llama.apply_rotary(torch.from_numpy(matrix @ given).view(1, heads, 1, width),
                               cos[row:row + 1], sin[row:row + 1])[0, :, 0].numpy()
            for row, (matrix, given) in enumerate(((queries, x), (keys, y)))]
    theirs = [rotated_neighbours((llama_cpp_runtime.side_by_side(matrix, heads) @ given).reshape(
        heads, width), position, 10000.0)
        for matrix, given, position in ((queries, x, 5), (keys, y, 9))]
    np.testing.assert_allclose((ours[0] * ours[1]).sum(1), (theirs[0] * theirs[1]).sum(1),
                               rtol=1e-5)


def test_every_matrix_of_the_decoder_is_written_once(network):
    model = network[0].model
    found = {name: (array.shape, kind) for name, array, kind in
             llama_cpp_runtime.tensors(model, 'Q4_0')}
    assert sum(np.prod(shape) for shape, _ in found.values()) == sum(
        parameter.numel() for layer in (model.llm.layers, model.llm.norm)
        for parameter in layer.parameters()) + model.head.fc1.weight.numel()
    assert found['blk.0.attn_k.weight'] == ((64, 128), 'Q4_0')
    assert found['blk.0.ffn_norm.weight'][1] == found['output_norm.weight'][1] == 'F32'
    assert found['output.weight'] == ((128, 128), KIND)


def test_llama_cpp_answers_as_our_network(network, tmp_path):
    pytest.importorskip('gguf', reason="needs pip install -e '.[llama-cpp]'")
    pytest.importorskip('llama_cpp', reason="needs pip install -e '.[llama-cpp]'")
    module, example, wanted = network
    runtime = sides.PEERS[f'llama.cpp {KIND}'].runtime()
    runtime.prepare('backbone', module, example, tmp_path)
    call = runtime.load('backbone', None, tmp_path, 1)
    for _ in range(2):  # the second does not see the first
        found, = call(example[0].numpy())
        assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(wanted)


def test_only_a_whole_decoder_is_taken(network, tmp_path):
    module, example, _ = network
    with pytest.raises(ValueError, match="its part 'first'"):
        llama_cpp_runtime.LlamaCpp(KIND).prepare('first', module, example, tmp_path)
    assert 'llama.cpp Q4_0' in sides.default_sides('smollm2-135m')
    assert not [side for side in sides.default_sides(sizes.BUNDLED) if 'llama' in side]
