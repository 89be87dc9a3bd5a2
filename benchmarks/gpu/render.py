# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Tables and a picture of a result file.

    python3 -m gpu.render RESULTS.json [--document docs/performance.md] [--png FILE.png]
"""

from __future__ import annotations

import argparse
from itertools import zip_longest
import json
from pathlib import Path

from .document import replace_part
from .engine import ROWS
from .pairs import COMPARED
from .shapes import BASELINE, SQAP

_COLUMNS = 3
# (network, row): how many times faster than the graphed bf16 baseline, by major capability
_GOALS = {'9': {('cogact', 'backbone'): 2.2, ('cogact', 'total'): 1.7, ('openvla', 'total'): 2.8},
          '8': {('cogact', 'backbone'): 2.56, ('cogact', 'total'): 1.93}}
_MEMORY_GOAL = 4.5  # GiB, CogACT


def markdown(content: dict) -> str:
    """Return everything that was measured; what was not says so."""
    sections = content['sections']
    networks = [pairs(name, sections[name]) for name in content['networks'] if name in sections]
    parts = [header(content), ceilings(sections.get('ceilings', {})), verdicts(sections),
             goals(content), *networks, loading(sections.get('loading', {})),
             pairs('options', sections.get('options', {})),
             libraries(sections.get('libraries', {})), layers(sections.get('layers', {})),
             growth(sections.get('growth', {}))]
    return '\n\n'.join(parts)


def header(content: dict) -> str:
    """Return the machine, and what did not come to its end."""
    machine = content['machine']
    text = (f'{machine["device"]}, compute capability {machine["capability"]}, torch '
            f'{machine["torch"]}, CUDA {machine["cuda"]}, Triton {machine["triton"]}, driver '
            f'{machine["driver"]}, {machine["date"]}, revision {machine["revision"]}.')
    missing = {name: found.get('error') or found['skipped']
               for name, found in content['sections'].items()
               if 'error' in found or 'skipped' in found}
    return text + ''.join(f'\n\n**{name}** is not complete: {why}'
                          for name, why in missing.items())


def _missing(section: dict, name: str) -> str:
    return f'*{name}: {section.get("error") or section.get("skipped") or "not measured"}*'


def ceilings(found: dict) -> str:
    """Return what the card reached in large products and a copy."""
    if 'bandwidth' not in found:
        return _missing(found, 'ceilings')
    rates = ', '.join(f'{name} {found[name] / 1e12:.4g} T{unit}/s'
                      for name, unit in (('bf16', 'FLOP'), ('int8', 'OP')) if name in found)
    return f'Ceilings of this card, measured: {rates}, memory {found["bandwidth"] / 1e9:.4g} GB/s.'


def verdicts(sections: dict) -> str:
    """Return how many comparisons with the reference were right, and those that were not."""
    lines = []
    for name in ('checks', 'golden'):
        found = sections.get(name, {})
        if 'checks' not in found or 'error' in found:
            lines.append(_missing(found, name))
        if 'checks' not in found:
            continue
        wrong = [row for row in found['checks'] if not row['ok']]
        lines.append(f'{name}: {len(found["checks"]) - len(wrong)} of {len(found["checks"])} '
                     'within their tolerance' + ''.join(f'\n- **wrong**: {row}' for row in wrong)
                     + ''.join(f'\n- not run: {case}' for case in found.get('not_run', ())))
    return '\n\n'.join(lines)


def goals(content: dict) -> str:
    """Return SQAP's ratios and memory beside what they should be."""
    sections, lines = content['sections'], ['| goal | wanted | found |', '|---|---|---|']
    for (name, row), wanted in _GOALS.get(content['machine']['capability'][0], {}).items():
        found = sections.get(name, {}).get('ratio', {}).get(BASELINE, {}).get(SQAP)
        text = 'not measured' if found is None else f'{found[row]["ratio"]:.2f}x'
        lines.append(f'| {name}, {row}, against {BASELINE} | {wanted}x | {text} |')
    for label, side, kind in (('SQAP', SQAP, 'packed'),
                              ('SQAP with int8 vision', 'int8 vision', 'packed, int8 vision')):
        lines.append(f'| cogact, peak memory of {label} in GiB | {_MEMORY_GOAL} | '
                     f'{_memory(sections, side, kind)} |')
    return '\n'.join(lines)


def _memory(sections: dict, side: str, kind: str) -> str:
    """Return what one side took, with random weights and loaded from a file."""
    found = [sections.get(name, {}).get('memory_gib', {}).get(side, {}).get('peak')
             for name in ('cogact', 'options')]
    loaded = sections.get('loading', {}).get('kinds', {}).get(kind, {}).get('peak_gib')
    made = next((peak for peak in found if peak is not None), None)
    return ', '.join(f'{peak:.2f} {how}' for peak, how in (
        (made, 'with random weights'), (loaded, 'loaded from a file')) if peak is not None
    ) or 'not measured'


def pairs(name: str, found: dict) -> str:
    """Return a network's times, ratios, memory and distance to the floor."""
    if 'ms' not in found:
        return _missing(found, name)
    lines = [f'| {name}, p50/p95 in ms | ' + ' | '.join(ROWS) + ' | peak, GiB |',
             '|---|' + '---|' * (len(ROWS) + 1)]
    for side, rows in found['ms'].items():
        times = ' | '.join(f'{rows[row]["p50"]:.2f}/{rows[row]["p95"]:.2f}' for row in ROWS)
        lines.append(f'| {side} | {times} | {found["memory_gib"][side]["peak"]:.2f} |')
    parts = ['\n'.join(lines), *(_ratios(base, rows) for base, rows in found['ratio'].items()),
             _floors(found['floor'])]
    for title, notes in (('left out', found['left_out']),
                         ('runs kernel by kernel', found['not_captured'])):
        parts += [f'{title}: {side}: {why}' for side, why in notes.items()]
    if found['agreement']:
        parts.append('Difference of the answers: ' + '; '.join(
            _agreement(name, pair) for name, pair in found['agreement'].items()))
    return '\n\n'.join(parts)


def _agreement(name: str, pair: dict) -> str:
    text = (f'same first token {100 * pair["same_first"]:.0f} %' if 'same_first' in pair else
            f'largest {pair["largest"]:.2g}, median {pair["median"]:.2g} standard deviations')
    return f'{name}: {text}' + ('' if pair['ok'] else ' **too far**')


def _ratios(base: str, found: dict) -> str:
    lines = [f'| times faster than {base} | ' + ' | '.join(COMPARED) + ' |',
             '|---|' + '---|' * len(COMPARED)]
    lines += [f'| {side} | ' + ' | '.join(
        f'{rows[row]["ratio"]:.2f} ({rows[row]["low"]:.2f} to {rows[row]["high"]:.2f})'
        for row in COMPARED) + ' |' for side, rows in found.items()]
    return '\n'.join(lines)


def _floors(found: dict) -> str:
    rows = [row for row in ROWS if all(row in side for side in found.values())]
    lines = ['| floor in ms, part of it reached, TOP/s, GB/s | ' + ' | '.join(rows) + ' |',
             '|---|' + '---|' * len(rows)]
    for side, parts in found.items():
        lines.append(f'| {side} | ' + ' | '.join(
            f'{parts[row]["floor_ms"]:.2f}, {100 * parts[row]["reached"]:.0f} %, '
            f'{parts[row]["tops"]:.0f}, {parts[row]["gb_s"]:.0f}' for row in rows) + ' |')
    return '\n'.join(lines)


def loading(found: dict) -> str:
    """Return the memory and time of loading checkpoints of every kind."""
    if not found.get('kinds'):
        return _missing(found, 'loading')
    lines = ['| CogACT checkpoint | file, GiB | runs in | seconds | loaded, GiB | at most while '
             'loading | at most with inference | reserved |', '|---|---|---|---|---|---|---|---|']
    for kind, one in found['kinds'].items():
        lines.append(f'| {kind} | skipped: {one["skipped"]} |' if 'skipped' in one else (
            f'| {kind} | {one["file_gib"]:.2f} | {one["precision"]} | {one["load_s"]:.1f} | '
            f'{one["loaded_gib"]:.2f} | {one["load_peak_gib"]:.2f} | {one["peak_gib"]:.2f} | '
            f'{one["reserved_gib"]:.2f} |'))
    return '\n'.join(lines)


def libraries(found: dict) -> str:
    """Return our products beside those of libraries, and what could not be compared."""
    if not found.get('comparisons'):
        return _missing(found, 'libraries')
    lines, reasons = [], {}
    for row in found['comparisons']:
        ours, theirs = row['ours'], row['theirs']
        if 'us' in ours and 'us' in theirs:
            lines.append(f'| {row["layer"]} | {row["tokens"]} | {row["kind"]} | {ours["us"]:.1f} '
                         f'| {row["library"]} | {theirs["us"]:.1f} | '
                         f'{theirs["us"] / ours["us"]:.2f} |')
        for name, side in ((row['library'], theirs), (f'our {row["kind"]}', ours)):
            if 'reason' in side:
                reasons[f'{name}: {side["reason"]}'] = None
    head = ['| layer | tokens | product | ours, µs | library | its µs | times ours |',
            '|---|---|---|---|---|---|---|']
    table = ['\n'.join(head + lines)] if lines else []
    return '\n\n'.join(table + [f'not compared: {why}' for why in reasons])


def layers(found: dict) -> str:
    """Return the roofline's points."""
    if not found.get('points'):
        return _missing(found, 'layers')
    lines = ['| layer | tokens | precision | µs | floor, µs | reached | TOP/s | GB/s |',
             '|---|---|---|---|---|---|---|---|']
    lines += [f'| {point["layer"]} | {point["tokens"]} | {point["precision"]} | '
              f'{1e3 * point["ms"]:.1f} | {1e3 * point["floor_ms"]:.1f} | '
              f'{100 * point["reached"]:.0f} % | {point["tops"]:.0f} | {point["gb_s"]:.0f} |'
              for point in found['points']]
    return '\n'.join(lines)


def growth(found: dict) -> str:
    """Return the growth curves as a table."""
    if not found.get('curves'):
        return _missing(found, 'growth')
    lines = ['| backbone, ms (p50) | side | ' + 'values |', '|---|---|---|']
    lines += [f'| {axis} | {side} | ' + ', '.join(f'{x}: {ms:.2f}' for x, ms in points) + ' |'
              for axis, sides in found['curves'].items() for side, points in sides.items()]
    return '\n'.join(lines) + ''.join(
        f'\n\nno time was left for {axis}' for axis in found.get('ended_early', ()))


def picture(content: dict, path: Path) -> bool:
    """Draw growth curves, stages and roofline; return False where there is nothing to draw."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot

    from .drawing import panels
    drawn = panels(content)
    if not drawn:
        return False
    rows, columns = -(-len(drawn) // _COLUMNS), min(len(drawn), _COLUMNS)
    figure, places = pyplot.subplots(rows, columns, figsize=(5.2 * columns, 3.8 * rows),
                                     constrained_layout=True, squeeze=False)
    for axes, draw in zip_longest(places.flat, drawn):
        if draw is None:
            axes.set_axis_off()
        else:
            draw(axes)
    figure.suptitle(content['machine']['device'])
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


def main() -> None:
    """Print the tables, or put them into a document; draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('results', type=Path)
    parser.add_argument('--document', type=Path, help='put the tables in here instead')
    parser.add_argument('--png', type=Path, help='draw the picture, beside the document')
    args = parser.parse_args()
    content = json.loads(args.results.read_text())
    text = markdown(content)
    if args.png and picture(content, args.png):
        text += f'\n\n![stages, growth and roofline]({args.png.name})'
    if args.document:
        replace_part(args.document, 'measured', text)
    else:
        print(text)


if __name__ == '__main__':
    main()
