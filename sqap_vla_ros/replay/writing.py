# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a replay found, in files: replay.json, and what reads it beside."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
import json
from pathlib import Path

from .answers import check_same
from .export.run import as_commanded, export, numbers_of
from .metrics.run import summarised
from .metrics.summary import as_json
from .metrics.table import table_text
from .pictures import Pictures
from .playing import playing_text
from .recorded_commands import recorded_commands
from .report.write import write_report
from .unanswered import check_answered, reasons
from ..errors import ConfigError, ObservationError
from ..support.files import check_directory, make_directory, saving_to, write_whole
from ..support.progress import Progress

JSON, REPORT = 'replay.json', 'report.html'


def begin(out: Path, decides) -> None:
    """Raise ConfigError where a directory cannot take results, or has those of another replay."""
    make_directory(out)
    check_directory(out, '--out')
    path = out / JSON
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_bytes())['facts']['decides']
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{path} is not of a replay of this version ({error!r}): give another '
                          '--out, or delete it') from error
    check_same(found, json.loads(json.dumps(decides)), f'{out} holds the results of a replay')


def finish(plan) -> None:
    """Run a replay, write what it found, and print its table."""
    replay, out = plan.replay, plan.replay.out
    begin(out, replay.decides)
    for note in plan.notes:
        print(f'note: {note}')
    known = set(replay.recording.losses)
    results, store = replay.run()
    with closing(store):
        _write(plan, results, store, known)


def _write(plan, results, store, known) -> None:
    """Write and print; known: losses that were told by now."""
    replay, out = plan.replay, plan.replay.out
    with Progress('reading the recorded commands'):
        commands, notes = recorded_commands(replay.recording, replay.topics, plan.settings)
    facts = {**plan.facts, **results.facts, 'notes': [*plan.notes, *notes], 'counts': [
        list(each) for each in reasons(results.images.problems)]}
    results = replace(results, facts=facts, commands=commands)
    try:
        check_answered(results)
    except ObservationError:
        store.remove()  # nothing to go on with, and other options are to be tried
        raise
    summary = summarised(results)
    print(table_text(summary))
    for text in (*notes, *results.losses):
        if text not in known:
            print(f'note: {text}')
    played, why_not = as_commanded(results, replay.variants.space, plan.config, plan.latency_s)
    numbers = numbers_of(results, played)
    for text in (f'note: {why_not}',) if why_not else map(playing_text, numbers):
        print(text)
    content = {'facts': facts, 'losses': list(results.losses), 'summary': as_json(summary),
               'played': {each.title: as_json(each) for each in numbers}}
    data = json.dumps(content, indent=1).encode() + b'\n'
    with saving_to(out, len(data), store.kept):
        write_whole(out / JSON, data)
    pictures = Pictures(replay.recording, replay.topics, replay.looking, results.images)
    with Progress('writing the report'):
        write_report(results, summary, pictures, out / REPORT, numbers)
    names = export(results, out, played, pictures, replay.recording, store.kept)
    store.remove()
    print(f'wrote {out}/: {", ".join((JSON, REPORT, *names))}')
