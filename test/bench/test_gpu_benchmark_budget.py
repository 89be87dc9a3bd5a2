# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu: sections share nine minutes, and no section takes another's result away."""
from importlib import import_module
import json
import os
from pathlib import Path
import subprocess
import sys
import time

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'benchmarks/gpu/run.sh'
sys.path.insert(0, str(ROOT / 'benchmarks'))
apart, program, budget = (
    import_module(f'gpu.{name}') for name in ('apart', '__main__', 'budget'))


def results(tmp_path):
    return budget.Results(tmp_path / 'out' / 'found.json', {'networks': []})


def test_the_file_is_whole_after_every_step_of_a_section(tmp_path):
    found, time_left = results(tmp_path), budget.Budget(60)

    def measure(seconds, keep):
        keep({'first': 1})
        section = json.loads(found.path.read_text())['sections']['a']
        assert section == {'first': 1, 'error': 'it never ended'}
        return {'second': 2}
    time_left.run(found, 'a', 10, measure)
    section = json.loads(found.path.read_text())['sections']['a']
    assert section['first'] == 1 and section['second'] == 2 and section['seconds'] >= 0
    assert found.failed == []


def test_a_section_that_fails_keeps_what_it_has_and_the_next_runs(tmp_path, capsys):
    found, time_left = results(tmp_path), budget.Budget(60)

    def fails(seconds, keep):
        keep({'first': 1})
        raise RuntimeError('an illegal memory access')
    time_left.run(found, 'a', 10, fails)
    time_left.run(found, 'b', 10, lambda seconds, keep: {'ok': False})
    time_left.run(found, 'c', 10, lambda seconds, keep: {'ok': True})
    assert found.get('a')['first'] == 1 and 'illegal memory' in found.get('a')['error']
    assert found.failed == ['a', 'b']
    assert 'Traceback' in capsys.readouterr().err


def test_sections_without_time_are_skipped_and_others_get_what_is_left(tmp_path):
    found = results(tmp_path)
    given = []
    budget.Budget(6).run(found, 'a', 10, lambda seconds, keep: given.append(seconds) or {})
    assert 5 < given[0] <= 6
    budget.Budget(1).run(found, 'b', 10, None)
    assert '10' in found.get('b')['skipped'] and found.failed == []


class Clock:
    """A time that only passes when somebody waits."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_section_gets_what_others_left_over_but_not_what_later_ones_need(tmp_path):
    clock, found, given = Clock(), results(tmp_path), []
    time_left = budget.Budget(100, clock)

    def run(name, share, later, takes):
        def measure(seconds, keep):
            given.append(seconds)
            clock.now += takes
            return {}
        time_left.run(found, name, share, measure, later)
    run('early', 40, 60, takes=10)
    run('slow', 20, 40, takes=80)  # 30 were left over
    run('late', 30, 10, takes=1)
    assert given == [40, 50, 10]
    run('last', 10, 0, takes=1)
    assert given[-1] == 9


@pytest.mark.parametrize('share', [0.1, 1.0, 1.49])
def test_all_sections_together_stay_below_nine_minutes(tmp_path, monkeypatch, share):
    """Each takes that part of its share, and is stopped where an alarm would."""
    clock, found = Clock(), results(tmp_path)
    limits = []
    monkeypatch.setattr(budget.signal, 'setitimer', lambda kind, seconds: limits.append(seconds))
    monkeypatch.setattr(budget.faulthandler, 'dump_traceback_later', lambda *_, **__: None)
    time_left = budget.Budget(program.SECONDS, clock)

    def measure(name):
        def run(seconds, keep):
            wanted = share * program.SHARE[name]
            clock.now += min(wanted, limits[-1])
            if wanted > limits[-1]:
                raise budget.OutOfTime
            return {}
        return run
    for place, name in enumerate(program.SECTIONS):
        later = sum(program.SHARE[other] for other in program.SECTIONS[place + 1:])
        time_left.run(found, name, program.SHARE[name], measure(name), later)
    assert set(program.SHARE) == set(program.SECTIONS) == set(found.content['sections'])
    skipped = [name for name in program.SECTIONS if 'skipped' in found.get(name)]
    assert clock.now < 525 and not {'cogact', 'openvla'} & set(skipped)
    assert share > 1.0 or not found.failed + skipped
    assert 'timeout --signal=INT --kill-after=5 535' in SCRIPT.read_text()


def test_a_section_that_goes_on_is_interrupted_and_the_next_runs(tmp_path):
    found, time_left, start = results(tmp_path), budget.Budget(60), time.perf_counter()

    def goes_on(seconds, keep):
        keep({'first': 1})
        while True:
            time.sleep(0.01)
    time_left.run(found, 'a', 0.2, goes_on)
    time_left.run(found, 'b', 10, lambda seconds, keep: {'ok': True})
    assert time.perf_counter() - start < 5
    assert found.get('a')['first'] == 1 and 'OutOfTime' in found.get('a')['error']
    assert found.failed == ['a'] and found.get('b')['ok']


HANGING = """
import signal, sys, time
sys.path[:0] = {paths!r}
from gpu import budget
def hangs(seconds, keep):
    keep({{'first': 1}})
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # as a call that never returns
    time.sleep(60)
from pathlib import Path
results = budget.Results(Path({out!r}), {{'networks': []}})
budget.Budget(60, grace=0.2).run(results, 'a', 0.2, hangs)
"""


def test_a_section_that_cannot_be_interrupted_ends_the_program_and_is_named(tmp_path):
    out = tmp_path / 'found.json'
    code = HANGING.format(paths=[str(ROOT), str(ROOT / 'benchmarks')], out=str(out))
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and 'in hangs' in done.stderr
    assert json.loads(out.read_text())['sections']['a'] == {
        'first': 1, 'error': 'it never ended'}


PART = """
import json, sys
out, name = sys.argv[sys.argv.index('--out') + 1], sys.argv[sys.argv.index('--only') + 1]
if name == 'dies':
    sys.exit(3)
json.dump({{'sections': {{name: {{'ok': False, 'checks': [1], 'seconds': 2}}}}}}, open(out, 'w'))
"""


def test_a_section_apart_gives_its_content_or_says_that_its_process_died(tmp_path):
    script = tmp_path / 'part.py'
    script.write_text(PART.format())
    command, found = (sys.executable, str(script)), results(tmp_path)
    for name in ('checks', 'dies'):
        budget.Budget(60).run(found, name, 10, apart.apart(name, 'cuda:0', command))
    assert found.get('checks')['checks'] == [1] and found.failed == ['checks', 'dies']
    assert 'ended with status 3' in found.get('dies')['error']


def test_a_section_apart_that_hangs_is_ended(tmp_path):
    script = tmp_path / 'part.py'
    script.write_text('import time; time.sleep(60)')
    found, start = results(tmp_path), time.perf_counter()
    budget.Budget(60).run(found, 'a', 0.5, apart.apart('a', 'cuda:0',
                                                       (sys.executable, str(script))))
    assert time.perf_counter() - start < 20 and 'OutOfTime' in found.get('a')['error']


def test_a_part_of_another_run_measures_its_section_alone_and_prints_no_tables(tmp_path):
    out = tmp_path / 'part.json'
    done = subprocess.run([SCRIPT, '--tiny', '--within', '--only', 'checks', '--out', str(out)],
                          capture_output=True, text=True, timeout=120,
                          env={**os.environ, 'PYTHON': sys.executable})
    assert done.returncode == 0, done.stderr
    assert list(json.loads(out.read_text())['sections']) == ['checks'] and '|' not in done.stdout
