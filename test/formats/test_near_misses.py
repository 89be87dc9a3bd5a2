# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Each near miss gets one sentence, and docs/near_misses.md holds them all."""
from pathlib import Path
import re
import runpy
import sys

import near_misses
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'near_misses.md'
CURES = re.compile(
    r'(?:[:;,] |\()(?:and |or |if [^:;,]*, )?'
    r'(?:download|take|write|give|name|move|put|leave|merge|convert it by|run it by|copy it again|'
    r"compute|choose one|get it by|load it where|save it|did you mean '|delete)")


@pytest.fixture(scope='module')
def said(tmp_path_factory):
    """Return the tables as they are now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return near_misses.table(tmp_path_factory.mktemp('misses'))


def test_the_page_holds_what_is_said(said):
    page = PAGE.read_text(encoding='utf-8')
    assert said.strip() in page, 'docs/near_misses.md is stale: run `make docs`'


def test_every_refusal_is_one_sentence_with_a_cure(said):
    rows = [line.split(' | ', 1) for line in said.split('Taken as')[0].splitlines()[2:] if line]
    assert len(rows) == len(near_misses.REFUSED)
    for title, sentence in rows:
        assert CURES.search(sentence), title
        assert len(sentence) < 600, title


@pytest.mark.parametrize('command', ['infer', 'convert', 'replay'])
def test_other_commands_say_the_same(tmp_path, capsys, command):
    miss = near_misses.REFUSED[0]
    path, = miss.make(tmp_path / 'policy')
    image = str(ROOT / 'test' / 'golden' / 'case0.png')
    options = {'infer': ['--image', image, '--instruction', 'x'],
               'convert': [str(tmp_path / 'out')],
               'replay': ['--out', str(tmp_path / 'out')]}[command]
    target = [str(ROOT / 'test' / 'data' / 'libero_bag')] if command == 'replay' else []
    chosen = ['--checkpoint', str(path)] if command == 'replay' else [str(path)]
    assert near_misses.main([command, *target, *chosen, *options]) == 1
    told = capsys.readouterr()
    assert told.err.count('\n') == 1 and 'the policy SmolVLA of lerobot: run' in told.err


def test_the_script_prints_the_tables(monkeypatch, capsys):
    script = str(ROOT / 'scripts' / 'near_misses')
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(near_misses, 'table', lambda place: f'made in {place.is_dir()}')
    monkeypatch.setattr('sys.path', [*sys.path])
    monkeypatch.setattr('sys.argv', [script])
    main = runpy.run_path(script, run_name='near_misses_script')['main']
    assert main() == 0 and capsys.readouterr().out == 'made in True\n'
    monkeypatch.setattr('sys.argv', [script, '--all'])
    assert main() == 2 and capsys.readouterr().err == 'usage: scripts/near_misses\n'
