# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/perplexity.py keeps what computed each row beside the row."""
from importlib.util import module_from_spec, spec_from_file_location
import json
from pathlib import Path
import sys

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / 'benchmarks' / 'perplexity.py'


@pytest.fixture
def script(monkeypatch):
    spec = spec_from_file_location('perplexity_script', SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ('from_transformers', 'load_model'):
        monkeypatch.setattr(module, name, lambda *arguments: None)
    monkeypatch.setattr(module, 'read_texts', lambda: (None, None))
    monkeypatch.setattr(module.torch, 'set_num_threads', lambda threads: None)
    monkeypatch.setattr(module, 'measure', lambda *arguments: {
        'perplexity': 20.0, 'losses': [3.0, 2.9], 'bits_on_disk': None, 'convert_s': 0.0,
        'evaluate_s': 0.0})
    return module


def test_rows_keep_the_machine_that_computed_them(script, tmp_path, monkeypatch):
    out = tmp_path / 'result.json'
    for number, precision in enumerate(('w4a16', 'w4a8', 'w4a4')):
        monkeypatch.setattr(script, 'origin', lambda: {'machine': 'ab'[number > 0]})
        monkeypatch.setattr(sys, 'argv', ['perplexity.py', '--out', str(out), '--only',
                                          f'{precision}, no rotation'])
        script.main()
    result = json.loads(out.read_text())
    machines = {label: result['origins'][row['origin']]['machine']
                for label, row in result['rows'].items()}
    assert machines == {script.REFERENCE: 'a', 'w4a16, no rotation': 'a',
                        'w4a8, no rotation': 'b', 'w4a4, no rotation': 'b'}
    assert len(result['origins']) == 2
