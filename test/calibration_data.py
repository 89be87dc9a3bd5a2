# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A calibration set of the golden images."""
import json
import shutil

import golden_data


def write_calibration(directory, states=False):
    """Write the golden images with instructions."""
    directory.mkdir()
    lines = []
    for case in golden_data.CASES * 2:
        shutil.copy(golden_data.GOLDEN / f'case{case}.png', directory)
        lines.append(json.dumps({
            'image': f'case{case}.png', 'instruction': 'put the bowl on the stove',
            'state': [0.5, 0, 0.2, 0, 0, 0, 1, 1] if states else None}))
    (directory / 'instructions.jsonl').write_text('\n'.join(lines) + '\n')
    return directory
