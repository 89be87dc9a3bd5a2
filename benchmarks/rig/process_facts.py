# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a process holds, from /proc, and whether that grows."""
from pathlib import Path

import numpy as np

WARM_UP = 0.2  # of a run: what is allocated once is not growth
BLOCKS, DRAWS = 12, 2000


def facts(pid):
    """Return {'rss_mib', 'threads', 'files', 'cpu_s'} of a process; raises OSError if it ended."""
    folder = Path('/proc') / str(pid)
    status = dict(line.split(':', 1) for line in (folder / 'status').read_text().splitlines())
    words = (folder / 'stat').read_text().rpartition(')')[2].split()
    return {'rss_mib': int(status['VmRSS'].split()[0]) / 1024, 'threads': int(status['Threads']),
            'files': len(list((folder / 'fd').iterdir())),
            'cpu_s': (int(words[11]) + int(words[12])) / 100}


def slope(hours, values, seed=0):
    """
    Return (slope, low, high) a unit an hour behind the warm-up, with a 95 % interval.

    Residuals are drawn in blocks, since neighbours resemble each other.
    """
    hours, values = np.asarray(hours, float), np.asarray(values, float)
    start = int(len(hours) * WARM_UP)
    hours, values = hours[start:], values[start:]
    fit = np.polyfit(hours, values, 1)
    rest = values - np.polyval(fit, hours)
    length = max(1, len(rest) // BLOCKS)
    random, found = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        starts = random.integers(0, len(rest) - length + 1, -(-len(rest) // length))
        drawn = np.concatenate([rest[begin:begin + length] for begin in starts])[:len(rest)]
        found.append(np.polyfit(hours, np.polyval(fit, hours) + drawn, 1)[0])
    low, high = np.percentile(found, [2.5, 97.5])
    return float(fit[0]), float(low), float(high)
