# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu: what kernels take at least, on cards that are measured or assumed."""
from importlib import import_module
from pathlib import Path
import sys

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))
between, ceilings, floors, shapes = (
    import_module(f'gpu.{name}') for name in ('between', 'ceilings', 'floors', 'shapes'))


def test_without_measured_ceilings_the_assumed_card_stands_in_by_name():
    assert ceilings.card({'int8': 1.0}, 'this card') is floors.ASSUMED
    assert ceilings.card({'bf16': 2.0, 'bandwidth': 3.0}, 'this card') == floors.Card(
        'this card', 2.0, 2.0, 3.0, 'measured in this run')


def test_between_the_products_all_tokens_are_read_and_written_once():
    assert between.hadamard_ops(3, 4096, 32) == 2 * 3 * 4096 * 32
    assert between.hadamard_ops(1, 11008, 256) == 2 * 11008 * (16 + 3 * 16)
    assert between.hadamard_ops(1, 1024, 128) == 2 * 1024 * (16 + 3 * 8)
    works = {work.name: work for work in between.kernels(shapes.OPENVLA.llm, 178)}
    assert works['norm, quantize (twice)'].size == 2 * 178 * (4096 * 3 + 4)
    assert works['SwiGLU, Hadamard, quantize'].size == 178 * (11008 * 5 + 4)
    assert works['rotary embedding'].size == 178 * 2 * 64 * 128 * 2
