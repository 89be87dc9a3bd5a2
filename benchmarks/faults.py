# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the arm does when something breaks: a rig outside vla_node, over topics.

A process is the robot: a camera of 640x480 at 30 Hz, camera_info, TF, joint_states and an
instruction; it goes as it is told. vla_node is another process, with a policy whose answers the
rig chooses (a slow circle at 0.1 m/s when all is well). Each fault is brought about in mid-motion.
Measured are the time until the first zero command behind the last motion, the way gone until
then (each command held until the next), the greatest change of speed within 50 ms, what
/diagnostics said, and what brought motion back once the fault was over.

    python -m sqap_vla_ros.support.ros_environment python benchmarks/faults.py [--only TEXT]
"""
import argparse
from datetime import datetime, timezone
import json
import os
from pathlib import Path
import sys
import time

RESULTS = Path(__file__).resolve().parent / 'results'


def show(done, total, start_s, name):
    """Draw the progress bar."""
    width, passed_s = 30, time.monotonic() - start_s
    bar = '#' * (width * done // max(total, 1))
    print(f'\r[{bar:<{width}}] {done}/{total} {passed_s:4.0f} s  {name:<60.60}', end='',
          file=sys.stderr, flush=True)


def run_all(faults, rig, rows):
    """Add the rows of faults; one that the rig cannot bring about tells why."""
    from rig.report import reaction_text
    from rig.rig import RigError
    start_s = time.monotonic()
    for number, fault in enumerate(faults):
        show(number, len(faults), start_s, fault.name)
        try:
            rows.append(rig.run(fault))
        except RigError as error:
            rows.append({'name': fault.name, 'group': fault.group, 'wanted': fault.wanted,
                         'error': str(error)})
            rig.close()
        row = rows[-1]
        for key, value in row.items():
            row[key] = round(value, 1) if isinstance(value, float) else value
        if row.get('well') is False or 'error' in row:
            print(f'\r{fault.name}: {reaction_text(row)}{"":<60}', file=sys.stderr)
    show(len(faults), len(faults), start_s, '')
    print(file=sys.stderr)


def chosen(only, groups):
    """Return the faults whose name or group contains a text, those alike beside each other."""
    from rig import (  # noqa: F401
        of_cameras, of_commands, of_lives, of_policies, of_returns, of_robots, of_words)
    from rig.faults import FAULTS
    found = [fault for fault in FAULTS.values()
             if all(text in fault.name for text in only) and (
                 not groups or fault.group in groups)]
    return sorted(found, key=lambda fault: (fault.simulated, str(fault.parameters), fault.fresh))


def main():
    """Run the faults that are asked for; returns 1 if one ends otherwise than wanted."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--only', nargs='*', default=[], help='part of the name')
    parser.add_argument('--group', nargs='*', default=[])
    parser.add_argument('--output', default='twist', choices=('twist', 'pose'))
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--before', type=Path, help='JSON of an earlier run, to compare with')
    parser.add_argument('--out', type=Path, default=RESULTS / 'faults.json')
    options = parser.parse_args()
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    faults = chosen(options.only, options.group)
    if options.list:
        print('\n'.join(f'{fault.group}: {fault.name}' for fault in faults))
        return 0
    import rclpy
    from rig.processes import PARAMETERS
    from rig.report import counts
    from rig.rig import Rig
    PARAMETERS['output'] = options.output
    rclpy.init()
    rig, start_s, rows = Rig(), time.monotonic(), []
    try:
        run_all(faults, rig, rows)
    finally:
        rig.close()
        rclpy.try_shutdown()
        write(rows, time.monotonic() - start_s, options)
    return int(counts(rows)['not'] > 0)


def write(rows, seconds, options):
    """Write JSON, Markdown and page, of as many rows as there are."""
    from rig.report import compared, counts, markdown, page
    from sqap_vla_ros.support.machine import machine, versions
    result = {'machine': {**machine(), **versions(), 'seconds': round(seconds),
                          'load_average': round(os.getloadavg()[0], 1),
                          'date': datetime.now(timezone.utc).isoformat(timespec='seconds')},
              'output': options.output, 'counts': counts(rows), 'rows': rows}
    options.out.write_text(json.dumps(result, indent=1) + '\n')
    options.out.with_suffix('.md').write_text(markdown(rows))
    if options.before:
        result['before'] = json.loads(options.before.read_text())['rows']
        options.out.with_suffix('.md').write_text(compared(rows, result['before']))
    options.out.with_suffix('.html').write_text(page(result))
    print(f'{result["counts"]}; wrote {options.out} with .md and .html beside it')


if __name__ == '__main__':
    sys.exit(main())
