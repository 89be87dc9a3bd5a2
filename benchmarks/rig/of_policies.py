# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of the policy: what it says, and how long it takes."""
from .faults import fault, GO_ON, REPORT


def says(name, behaviour, **options):
    """Register a fault that is a behaviour of the policy."""
    @fault(name, 'policy', **options)
    def run(rig):
        yield rig.node.behave(behaviour)
        rig.node.behave('good')


says('one NaN in a chunk', 'nan')
says('one infinity in a chunk', 'inf')
says('minus infinity in its last row', 'minus inf')
says('gripper NaN', 'nan gripper')
says('gripper of 50', 'gripper of 50', wanted=REPORT)
says('a million m/s', 'huge')
says('2 m/s, 8 times the limit', 'two metres', wanted=REPORT, watch_s=1.5)
says('3 m/s, 12 times the limit', 'three metres')
says('1 m/s, 4 times the limit', 'one metre', wanted=REPORT, watch_s=1.5)
says('20 rad/s', 'spin')
says('reverses 0.24 m/s with every chunk', 'reverse', wanted=REPORT, watch_s=4.0)
says('another direction in each row', 'shake', wanted=REPORT)
says('zeros from now on', 'zeros')
says('5 columns', 'five columns')
says('14 columns', 'fourteen columns')
says('no rows', 'no rows')
says('one dimension', 'flat')
says('letters', 'text')
says('stamps its answer 10 s ahead', 'stamp: 10', wanted=REPORT)
says('stamps its answer 10 s back', 'stamp: -10', wanted=REPORT)
says('rows of 0 s', 'dt: 0')
says('rows of NaN s', 'dt: nan')
says('rows of -0.05 s', 'dt: -0.05')
says('inference hangs', 'hang', watch_s=4.0)
says('inference takes 0.15 s', 'slow: 0.15', wanted=GO_ON)
says('inference takes 0.25 s', 'slow: 0.25', wanted=REPORT, watch_s=4.0)
says('inference takes 0.6 s', 'slow: 0.6', wanted=REPORT, watch_s=5.0)
says('inference takes 3 s', 'slow: 3', watch_s=5.0)
says('inference does not let go of the interpreter', 'hold: 1', wanted=REPORT, watch_s=4.0)
says('inference crashes', 'crash')
says('inference runs out of memory', 'memory')
says('inference raises KeyboardInterrupt', 'interrupt')
says('the process ends in inference', 'exit', wanted=REPORT)


@fault('crawls by a low max_linear_speed of 0.03', 'policy', wanted=GO_ON,
       parameters={'max_linear_speed': 0.03})
def crawl(rig):
    """Say 0.24 m/s to a node that is to crawl: the first run on a real robot."""
    yield rig.node.behave('fast')
    rig.node.behave('good')


@fault('crawls by speed_scale 0.1', 'policy', wanted=REPORT, parameters={'speed_scale': 0.1})
def scaled(rig):
    """Say 0.24 m/s to a node that is to play everything slowly."""
    yield rig.node.behave('fast')
    rig.node.behave('good')
