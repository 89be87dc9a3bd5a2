# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""scripts/quantize_bundled makes the shipped quantized model again, and leaves its card alone."""
import json
from pathlib import Path
import shutil
import subprocess
import sys

from documented_commands import check

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts' / 'quantize_bundled'
STANDS_IN = """#!{python}
import json, pathlib, sys
words = sys.argv[3:]
with open('{log}', 'a') as log:
    log.write(json.dumps(words) + chr(10))
if words[0] == 'convert':
    out, names = pathlib.Path(words[2]), ['model.safetensors', 'norm_stats.json',
                                          'tokenizer.json', 'config.json']
else:
    out, names = pathlib.Path(words[words.index('--out') + 1]), ['error.json', 'report.html']
out.mkdir()
for name in names:
    (out / name).write_text('new')
"""


def test_the_script_converts_and_measures_by_commands_that_are_accepted(tmp_path):
    for name in ('scripts', 'models/libero_goal_w4', 'benchmarks/results'):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / 'scripts')
    model = tmp_path / 'models/libero_goal_w4'
    for name in ('README.md', 'config.json'):
        (model / name).write_text('old')
    python, log = tmp_path / 'python', tmp_path / 'log'
    python.write_text(STANDS_IN.format(python=sys.executable, log=log))
    python.chmod(0o755)
    subprocess.run([tmp_path / 'scripts/quantize_bundled', 'learnt', 'held_out'], check=True,
                   cwd=tmp_path, env={'PATH': '/usr/bin:/bin', 'PYTHON': str(python)})
    assert (model / 'README.md').read_text() == 'old'
    assert sorted(path.name for path in model.iterdir() if path.read_text() == 'new') == [
        'config.json', 'model.safetensors', 'norm_stats.json', 'tokenizer.json']
    assert (tmp_path / 'benchmarks/results/libero_goal_w4.json').read_text() == 'new'
    first, second = map(json.loads, log.read_text().splitlines())
    assert (first[0], first[1], second[0]) == (
        'convert', str(tmp_path / 'models/libero_goal'), 'error')
    assert first[first.index('--calibration') + 1] == 'learnt'
    assert second[second.index('--samples') + 1] == 'held_out'
    for words in (first, second):
        check(['sqap-vla', *words])


def test_without_both_folders_it_says_what_they_are():
    run = subprocess.run([SCRIPT, 'one'], capture_output=True, text=True)
    assert run.returncode == 2 and 'sqap-vla collect --out data/held_out' in run.stderr
