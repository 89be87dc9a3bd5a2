# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Puts the report together and writes it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
import json
from pathlib import Path

from . import tables
from .chosen import Chosen, chosen_rows
from .curves import Told, told
from .embedded import page_data
from .pictures import encoded, Pictures, Shown
from ..metrics.summary import Summary
from ..playing import Playing
from ..results import Results
from ...support.files import save_file
from ...support.html import listed, page

PAGE = Path(__file__).parent / 'page'
SCRIPTS = ('data.js', 'picture.js', 'plots.js', 'scrubber.js', 'start.js')
MOST_PICTURES = 300
MOST_NUMBERS = 400_000  # of all rows of all answers to images with a picture


def write_report(results: Results, summary: Summary, pictures: Pictures | None, out: Path,
                 played: Sequence[Playing] = ()) -> None:
    """
    Write the report whole.

    pictures(rows): yields, for ascending rows of Results.images, the images uint8 [H, W, 3] RGB
    that the policy was given, by the camera's name and the main one first; nothing for a row
    whose image cannot be read.  None for a report without pictures.  played: what became of
    answers on their way to the arm.  Raises ConfigError where the file cannot be written.
    """
    answers = [told(results, each) for each in results.answers]
    chosen = chosen_rows(results.images, results.answers, [one.error for one in answers],
                         _most_shown(results.answers))
    shown = encoded(pictures, chosen.shown.tolist())
    body = report_body(results, summary, answers, chosen, shown, played)
    script = "'use strict';(()=>{\n" + '\n'.join(
        (PAGE / name).read_text(encoding='utf-8') for name in SCRIPTS) + '\n})();'
    text = page(f'Replay: {_source(results)}', body,
                (PAGE / 'report.css').read_text(encoding='utf-8'), script)
    save_file(out, text.encode('utf-8', 'backslashreplace'), '--out')


def _most_shown(answers) -> int:
    numbers = sum(each.actions.shape[1] * (len(each.names) + 1) for each in answers)
    return min(MOST_PICTURES, max(24, MOST_NUMBERS // max(2 * numbers, 1)))


def report_body(results: Results, summary: Summary, answers: list[Told], chosen: Chosen,
                pictures: list[Shown], played: Sequence[Playing] = ()) -> str:
    """Return what stands in <main>."""
    data = page_data(results, answers, chosen, pictures)
    player = (PAGE / 'scrubber.html').read_text(encoding='utf-8') if results.answers and len(
        chosen.shown) else ''
    parts = [
        _heading(results), f'<p class="card caution"><strong>{tables.NO_SUCCESS}</strong> '
        f'{escape(tables.WHY_NOT)}</p>',
        tables.figures(summary), _to_know(results, summary),
        '<noscript><p class="card caution">Frames and curves need JavaScript, which is off here; '
        'the tables below do not.</p></noscript>',
        tables.overview(summary), player, tables.pairs(summary), tables.axes(summary),
        tables.tokens(summary), tables.smoothness(summary), tables.arm(played),
        tables.timing(summary),
        _facts(results),
        f'<script type="application/json" id="data">{data}</script>']
    return '\n'.join(parts)


def _source(results) -> str:
    return str(results.facts.get('source', 'a recording'))


def _heading(results) -> str:
    facts = results.facts
    line = ', '.join(str(facts[name]) for name in ('form', 'checkpoint', 'date')
                     if facts.get(name))
    asked = facts.get('instruction')
    said = f' \u2014 \u201c{asked}\u201d' if asked else ''
    return (f'<h1>Replay: {escape(_source(results))}</h1>'
            f'<p class="muted">{escape(line + said)}</p>')


def _to_know(results: Results, summary: Summary) -> str:
    """Return what was lost, refused or left out, and why."""
    sentences = [f'Lost: {text}' for text in results.losses]
    sentences += [f'The node would not move on {count} of {summary.images.count} images: {text}'
                  for text, count in summary.images.problems.items()]
    sentences += [f'{row.title} has no answer to {count} images: {text}'
                  for row in summary.rows for text, count in row.problems.items()]
    if summary.images.warned:
        sentences.append(f'{summary.images.warned} images have a warning; it stands at each.')
    sentences += summary.notes
    sentences += [str(note) for note in results.facts.get('notes', ())]
    return f'<h2>To know first</h2>{listed(sentences)}' if sentences else ''


def _facts(results) -> str:
    rows = ''.join(f'<tr><th scope="row">{escape(str(name))}</th><td>{_value(value)}</td></tr>'
                   for name, value in results.facts.items())
    return ('<details><summary>What was replayed, and with what</summary><div class="card">'
            f'<table class="table">{rows}</table></div></details>')


def _value(value) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, default=str)
    return f'<pre>{escape(text)}</pre>' if '\n' in text else escape(text)
