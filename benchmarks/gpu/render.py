# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The tables of a result file, in Markdown.

    PYTHONPATH=.:benchmarks python3 -m gpu.render benchmarks/gpu/results/NAME.json
"""

from __future__ import annotations

import json
from pathlib import Path
import sys

from .pairs import COMPARED
from .sides import ROWS


def markdown(content: dict) -> str:
    """Return everything that was measured."""
    sections = content['sections']
    parts = [header(content), *(verdicts(name, sections[name]) for name in ('checks', 'golden')
                                if name in sections)]
    parts += [pairs(name, sections[name]) for name in ('cogact', 'openvla', 'oft')
              if 'ms' in sections.get(name, {})]
    if sections.get('layers', {}).get('points'):
        parts.append(layers(sections['layers']['points']))
    return '\n\n'.join(parts)


def header(content: dict) -> str:
    """Return the machine, and what did not come to its end."""
    machine = content['machine']
    text = (f'{machine["device"]}, compute capability {machine["capability"]}, torch '
            f'{machine["torch"]}, CUDA {machine["cuda"]}, Triton {machine["triton"]}, '
            f'{machine["date"]}, revision {machine["revision"]}.')
    return text + ''.join(f'\n\n**{name}** is not complete: {found["error"]}'
                          for name, found in content['sections'].items() if 'error' in found)


def verdicts(name: str, found: dict) -> str:
    """Return how many comparisons with the reference were right, and those that were not."""
    rows = found.get('checks', [])
    wrong = [row for row in rows if not row['ok']]
    return (f'{name}: {len(rows) - len(wrong)} of {len(rows)} within their tolerance'
            + ''.join(f'\n- **wrong**: {row}' for row in wrong)
            + ''.join(f'\n- not run: {case}' for case in found.get('not_run', ())))


def table(head: list[str], rows: list[list]) -> str:
    """Return a Markdown table."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in lines)


def pairs(name: str, found: dict) -> str:
    """Return a network's times, ratios, memory and what its stages reach."""
    memory = found['memory_gib']
    parts = [table(
        [f'{name}, p50/p95 in ms', *ROWS, 'weights + running, GiB'],
        [[side, *(f'{rows[row]["p50"]:.2f}/{rows[row]["p95"]:.2f}' for row in ROWS),
          f'{memory[side]["weights"]:.2f} + {memory[side]["running"]:.2f}']
         for side, rows in found['ms'].items()])]
    for base, sides in found['ratio'].items():
        parts.append(table([f'times faster than {base}', *COMPARED], [[side, *(
            f'{rows[row]["ratio"]:.2f} ({rows[row]["low"]:.2f} to {rows[row]["high"]:.2f})'
            for row in COMPARED)] for side, rows in sides.items()]))
    stages = list(next(iter(found['reached'].values())))
    parts.append(table(['TOP/s, GB/s', *stages], [[side, *(
        f'{rows[stage]["top_s"]:.0f}, {rows[stage]["gb_s"]:.0f}' for stage in stages)]
        for side, rows in found['reached'].items()]))
    for title, notes in (('left out', found['left_out']),
                         ('runs kernel by kernel', found['not_captured'])):
        parts += [f'{title}: {side}: {why}' for side, why in notes.items()]
    return '\n\n'.join(parts)


def layers(points: list[dict]) -> str:
    """Return every layer's time and rates by side, and what could not be compared."""
    rows = [[point['layer'], point['tokens'], point['side'], f'{point["us"]:.1f}',
             f'{point["top_s"]:.0f}', f'{point["gb_s"]:.0f}'] for point in points if 'us' in point]
    reasons = dict.fromkeys(f'not compared: {point["side"]}: {point["reason"]}'
                            for point in points if 'reason' in point)
    return '\n\n'.join([table(['layer', 'tokens', 'side', 'µs', 'TOP/s', 'GB/s'], rows), *reasons])


if __name__ == '__main__':
    print(markdown(json.loads(Path(sys.argv[1]).read_text())))
