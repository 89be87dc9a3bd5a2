# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""scripts/quantize_bundled makes the shipped quantized model again, and leaves its card alone."""
import json
from pathlib import Path
import shutil
import subprocess
import sys

from documented_commands import check
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'quantize_bundled'
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
if '--record' in words:
    quantized = pathlib.Path(words[words.index('--quantized') + 1])
    (quantized / 'encoder_error.json').write_text('new')
"""


def made_again(tmp_path, stands_in=STANDS_IN):
    """Run a copy of the script, and return (its status, the model's folder, its commands)."""
    for name in ('scripts', 'models/libero_goal_w4', 'benchmarks/results'):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / 'scripts')
    model = tmp_path / 'models/libero_goal_w4'
    for name in ('README.md', 'config.json'):
        (model / name).write_text('old')
    python, log = tmp_path / 'python', tmp_path / 'log'
    python.write_text(stands_in.format(python=sys.executable, log=log))
    python.chmod(0o755)
    run = subprocess.run([tmp_path / 'scripts/quantize_bundled', 'learnt', 'held_out'],
                         cwd=tmp_path, env={'PATH': '/usr/bin:/bin', 'PYTHON': str(python)})
    return run.returncode, model, [*map(json.loads, log.read_text().splitlines())]


def test_a_new_model_that_was_not_measured_does_not_take_the_old_ones_place(tmp_path):
    status, model, commands = made_again(tmp_path, STANDS_IN.replace(
        'out.mkdir()', "words[0] == 'error' and 'follow' in words[-1] and sys.exit(3)"
        '\nout.mkdir()'))
    assert status == 3 and len(commands) == 3
    assert {path.name: path.read_text() for path in model.iterdir()} == {
        'README.md': 'old', 'config.json': 'old'}
    assert not [*(tmp_path / 'benchmarks/results').iterdir()]


def test_the_script_converts_and_measures_by_commands_that_are_accepted(tmp_path):
    status, model, commands = made_again(tmp_path)
    assert status == 0
    assert (model / 'README.md').read_text() == 'old'
    assert sorted(path.name for path in model.iterdir() if path.read_text() == 'new') == [
        'config.json', 'encoder_error.json', 'model.safetensors', 'norm_stats.json',
        'tokenizer.json']
    results = tmp_path / 'benchmarks/results'
    written = {path.name: path.read_text() for path in results.iterdir()}
    assert written == dict.fromkeys(
        ('error_gptq.json', 'error_follow.json', 'error_int8_vision.json'), 'new')
    assert all((ROOT / 'benchmarks/results' / name).is_file() for name in written)
    first, *errors = commands
    assert first[:2] == ['convert', str(tmp_path / 'models/libero_goal')]
    assert first[first.index('--calibration') + 1] == 'learnt' and len(errors) == 3
    assert all(words[0] == 'error' for words in errors)
    assert all(words[words.index('--samples') + 1] == 'held_out' for words in errors)
    assert all(words[words.index('--quantized') + 1] == first[2] for words in errors)
    for words in (first, *errors):
        check(['sqap-vla', *words])


@pytest.mark.parametrize('name', ['error_gptq', 'error_follow'])
def test_its_variants_are_those_of_the_committed_tables_and_of_the_page(name):
    table = json.loads((ROOT / f'benchmarks/results/{name}.json').read_text())['table']
    rows = [row['variant'] for row in table if row['control'] == 'none']
    variants = ','.join(dict.fromkeys(rows))
    assert f'--variants {variants}' in ' '.join((ROOT / 'docs/error.md').read_text().split())
    script = SCRIPT.read_text().replace('$gptq', 'w4a4-nearest,w4a4,w4a4t8,w4a8')
    assert variants in script


def test_without_both_folders_it_says_what_they_are():
    run = subprocess.run([SCRIPT, 'one'], capture_output=True, text=True)
    assert run.returncode == 2 and 'sqap-vla collect --out data/held_out' in run.stderr
