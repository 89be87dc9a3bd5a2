# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla compare`: see replay/compare.py."""

from __future__ import annotations

from ..errors import ConfigError
from ..replay.compare import compare, comparison_text, Tolerances
from ..replay.compared_files import read_replay

FINE, DRIFT = 0, 2


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla compare`."""
    add, default = parser.add_argument, Tolerances(0.0)
    parser.epilog = ('Ends with 0 if all is within the limits, 1 if the two cannot be compared, '
                     '2 if anything drifted (or the command line makes no sense).')
    add('first', metavar='A.json', help='replay.json to hold against, or the directory that '
        '`sqap-vla replay --out` wrote')
    add('second', metavar='B.json', help='the new one, of the same frames and instructions')
    add('--max-nrmse', type=float, required=True, metavar='X',
        help='limit for each axis, at least 0: of the difference between answers, and of how much '
        "the error against what was done has grown; RMSE by the range that A's answers, or what "
        'was done, have along the axis')
    add('--max-gripper', type=float, default=default.max_gripper, metavar='X',
        help='share of rows in which one opens the gripper and the other closes it, from 0 to 1')
    add('--least-range', type=float, default=default.least_range, metavar='X',
        help='the range that is divided by is at least this, above 0, in m/s, rad/s, m or rad: '
        'for axes that hardly move')
    add('--max-missing', type=int, default=default.max_missing, metavar='N',
        help='images that A has answered and B has not, at least 0')
    add('--row', action='append', metavar='A=B',
        help='a row to compare, with the name in A and that in B, such as fp=sqap@154, any '
        "number of times; all of A's with the same names in B unless given")
    add('--all', action='store_true', help='show every number, not only the largest and what '
        'drifted')


def run(args) -> int:
    """Print the table; return 2 where anything drifted."""
    tolerances = Tolerances(args.max_nrmse, args.max_gripper, args.least_range, args.max_missing)
    found = compare(read_replay(args.first), read_replay(args.second), tolerances,
                    _rows(args.row))
    print(comparison_text(found, args.all))
    return DRIFT if found.drifted else FINE


def _rows(texts) -> dict[str, str] | None:
    """Return {title in A: title in B}; raise ConfigError for a title that is told twice."""
    if not texts:
        return None
    pairs = [text.partition('=')[::2] for text in texts]
    found = {first: second or first for first, second in pairs}
    if len(found) < len(pairs) or not all(found):
        raise ConfigError(f'--row {" --row ".join(texts)}: expected each row of A once, as NAME '
                          'or NAME=NAME IN B')
    return found
