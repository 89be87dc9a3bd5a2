# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator's node and what answers it, and launch files, for all tests over ROS."""
import gc

import pytest


@pytest.fixture(scope='module', autouse=True)
def no_nodes_are_left():
    """Let go of nodes that tests of another file have left in cycles: they are still listed."""
    gc.collect()


@pytest.fixture
def policy():
    """Return a maker of scripted policies that end with the test."""
    from sim_doubles import right, ScriptedPolicy
    made = []

    def make(answer=None, **options):
        made.append(ScriptedPolicy(answer or right, **options))
        return made[-1]
    yield make
    for item in made:
        item.close()


@pytest.fixture
def simulator(monkeypatch):
    """Return a maker of simulator nodes that end with the test; it takes their parameters."""
    import rclpy
    from rclpy.parameter import Parameter
    from sim_doubles import PointEnv
    from sqap_vla_ros.ros.simulator import node as module
    monkeypatch.setattr(module, 'REPORTS_S', 0.1)  # nobody here is further away than a thread
    context = rclpy.Context()
    rclpy.init(context=context)
    made = []

    def make(make_env=PointEnv, **parameters):
        parameters = {'episodes': 1, 'policy_timeout_s': 8.0, 'image_width': 32,
                      'image_height': 32, **parameters}
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        made.append(module.LiberoSimNode(make_env, context=context, parameter_overrides=overrides))
        return made[-1]
    yield make
    for node in made:
        node.close()
    context.try_shutdown()


@pytest.fixture
def load():
    """Return a function that loads a launch file beside stand-ins of launch."""
    import launch_doubles
    with launch_doubles.stand_ins():
        yield launch_doubles.load_file
