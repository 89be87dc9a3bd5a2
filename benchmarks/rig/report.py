# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows as JSON, Markdown and a page."""
from html import escape
import json

SAID = 130  # letters of what was said, in a table
HEAD = ('fault', 'wanted', 'reaction', 'ms', 'mm', 'step, mm/s', 'what it said', 'recovery', 'ms')


def reaction_text(row):
    """Return what the arm did, in a few words."""
    if row.get('error'):
        return 'not measured: ' + row['error'][:80]
    if row['wanted'] == 'refuse':
        return 'refused' if row.get('refused') else 'not refused'
    if not row['alive'] and row['silent']:
        return 'the last command stands' + heard_text(row)
    if row['silent']:
        return 'falls silent, the last command stands' + heard_text(row)
    if row['wanted'] == 'still':
        return 'stands' if row['well'] else 'moves'
    ended = '' if row['alive'] else ', the process ends'
    starts = f", {row['starts']} starts in {row['watched_s']:.0f} s" if row['starts'] > 1 else ''
    return ('moves on' if row['stopped_ms'] is None else 'stops') + starts + ended


def heard_text(row):
    """Return when a receiver that asks for it heard that commands ceased."""
    heard = row.get('receiver') or {}
    words = {'deadline': 'missed its deadline', 'gone': 'is gone'}
    texts = [f'{words[event]} after {time_ms} ms' for event, time_ms in heard.items()]
    return f'; to a receiver that asks it {" and ".join(texts)}' if texts else ''


def said_text(row):
    """Return the first words of the highest level that the fault brought about."""
    said = row.get('said') or []
    for level in ('ERROR', 'WARN'):
        for prefer in ('commands', ''):
            for _, found, status, text in said:
                if found == level and status.startswith(prefer) and 'waiting for' not in text:
                    return f'{level}: {text}'
    return row.get('words', '') if isinstance(row.get('words'), str) else ''


def cells(row):
    """Return one line of the table."""
    if row.get('error'):
        return [row['name'], row['wanted'], reaction_text(row), '', '', '', '', '', '']
    number = '{:.0f}'.format
    return [
        row['name'], row['wanted'], reaction_text(row),
        '' if row['stopped_ms'] is None or row['wanted'] in ('refuse', 'still') else number(
            row['stopped_ms']),
        number(row['way_mm']), number(row['step_mm_s']), said_text(row), row['recovery'],
        '' if row['recovery_ms'] is None else number(row['recovery_ms'])]


def counts(rows):
    """Return {'well', 'not', 'judged'} of rows."""
    judged = [row for row in rows if row.get('well') is not None]
    well = sum(row['well'] for row in judged)
    return {'judged': len(judged), 'as wanted': well, 'not': len(judged) - well}


def markdown(rows):
    """Return the table."""
    lines = ['| ' + ' | '.join(HEAD) + ' |', '|' + '---|' * len(HEAD)]
    for row in rows:
        texts = [cell.replace('|', '/').replace('\n', ' ')[:160] for cell in cells(row)]
        texts[2] = f'**{texts[2]}**' if row.get('well') is False else texts[2]
        lines.append('| ' + ' | '.join(texts) + ' |')
    return '\n'.join(lines) + '\n'


def in_short(row):
    """Return reaction, ms and mm in a few words."""
    if row is None:
        return ''
    reaction, time_ms, way_mm = cells(row)[2:5]
    if row.get('error') or row['wanted'] == 'refuse':
        return reaction
    way = '' if row['wanted'] == 'still' and row['well'] else f'{way_mm} mm'
    return ', '.join(text for text in (reaction, time_ms and f'{time_ms} ms', way) if text)


def compared(rows, before):
    """Return Markdown tables, one a group: what became of each fault before, and now."""
    old = {row['name']: row for row in before}
    groups = list(dict.fromkeys(row['group'] for row in rows))
    lines = []
    for group in groups:
        lines += [f'### {group[0].upper()}{group[1:]}', '',
                  '| fault | wanted | before | now | what it says now | motion comes back |',
                  '|---|---|---|---|---|---|']
        for row in (row for row in rows if row['group'] == group):
            back = ', '.join(text for text in (
                cells(row)[7], cells(row)[8] and f'{cells(row)[8]} ms') if text)
            texts = [row['name'], row['wanted'], in_short(old.get(row['name'])), in_short(row),
                     said_text(row)[:SAID], back]
            texts[3] = f'**{texts[3]}**' if row.get('well') is False else texts[3]
            lines.append('| ' + ' | '.join(
                text.replace('|', '/').replace('\n', ' ') for text in texts) + ' |')
        lines.append('')
    return '\n'.join(lines)


STYLE = """body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:3px 6px;vertical-align:top;text-align:left}
tr.not td:nth-child(3){background:#f6c9c4}tr.well td:nth-child(3){background:#cdeac8}
td:nth-child(4),td:nth-child(5),td:nth-child(6),td:nth-child(9){text-align:right}"""


def page(result):
    """Return an HTML page of a result, with what it was before where that is known."""
    before = {row['name']: row for row in result.get('before', ())}
    head = ''.join(f'<th>{escape(name)}</th>' for name in HEAD) + (
        '<th>before</th>' if before else '')
    body = []
    for row in result['rows']:
        mark = {True: 'well', False: 'not', None: ''}[row.get('well')]
        texts = cells(row)
        if before:
            old = before.get(row['name'])
            texts.append('' if old is None else ', '.join(
                text for text in (*cells(old)[2:4], f'{cells(old)[4]} mm') if text))
        body.append(f'<tr class="{mark}">' + ''.join(
            f'<td>{escape(text)}</td>' for text in texts) + '</tr>')
    about = escape(json.dumps({'counts': counts(result['rows']), **result['machine']}))
    return (f'<!doctype html><meta charset="utf-8"><title>Faults</title><style>{STYLE}</style>'
            f'<h1>Faults, over topics</h1><p>{about}</p><table><tr>{head}</tr>'
            + '\n'.join(body) + '</table>\n')
