# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The snippets of docs/api.md run as they stand, and the types that it names are there."""

from importlib import import_module
import re

from markdown_pages import blocks, ROOT, spans

PAGE = ROOT / 'docs' / 'api.md'


def test_load_observe_infer_draw(monkeypatch, tmp_path, capsys):
    (tmp_path / 'models').symlink_to(ROOT / 'models')
    (tmp_path / 'docs').symlink_to(ROOT / 'docs')
    monkeypatch.chdir(tmp_path)
    scope, snippets = {}, [block for block in blocks(PAGE) if block.language == 'python']
    assert sum(map(bool, snippets[0].text.splitlines())) == 15
    for block in snippets:
        exec(compile(block.text, block.place, 'exec'), scope)
    chunk, picture = scope['chunk'], scope['picture']
    assert chunk.actions.shape == (8, 7) and len(chunk.selection.kept) == 154
    assert picture.shape[1] == 512 and picture.min() < picture.max()
    assert (tmp_path / 'overlay.png').stat().st_size > 10000
    assert 'ms' in capsys.readouterr().out


def test_every_name_that_it_tells_is_there():
    named = [match for _, text in spans(PAGE)
             if (match := re.fullmatch(r'(sqap_vla_ros(?:\.\w+)*)\.(\w+)(\(.*\))?', text))]
    assert len(named) > 8
    assert [match[0] for match in named if not hasattr(import_module(match[1]), match[2])] == []
