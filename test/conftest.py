# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What every test run needs: the ROS environment, a ROS domain of its own, reasons for skips.

`pytest` works from a plain shell: before anything is collected it starts itself again with
the variables of `sqap_vla_ros.support.ros_environment`, since LD_LIBRARY_PATH has to be there
when a process starts. A run talks on its own ROS_DOMAIN_ID and on this machine only; so does
each of the workers that share it (`pytest -n 2`), which leave the other cores to each other.
"""
from contextlib import closing, ExitStack
from functools import partial
from importlib import import_module
from importlib.util import find_spec
import os
import random
import sys

from hypothesis import settings
import pytest

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support.ros_environment import built_prefixes, ros_environment

# before anything imports triton, so that CUDA kernels can be tested where there is no GPU
if not os.path.exists('/dev/nvidiactl'):
    os.environ.setdefault('TRITON_INTERPRET', '1')
# no deadlines: a test machine may be busy; the same examples in every run of a CI
settings.register_profile('tests', deadline=None, derandomize='CI' in os.environ)
settings.load_profile('tests')
STARTED_AGAIN = 'SQAP_VLA_TEST_ENVIRONMENT'
# begun first, so that no process is left with one of them when the others are done
LONG = (
    'test_linters.py', 'test_cuda_compile.py', 'test_train_on_gpu.py', 'test_demo.py',
    'test_evaluate_command.py', 'test_train_success.py', 'test_gpu_benchmark.py',
    'test_ros_sim_node.py', 'test_sim_render.py', 'test_sim_suites.py', 'test_fused_blocks.py')


def pytest_configure(config: pytest.Config) -> None:
    """Start this process again inside the ROS environment, once."""
    worker = os.environ.get('PYTEST_XDIST_WORKER', '')
    if worker:
        taken = int(os.environ['ROS_DOMAIN_ID']) + int(worker.removeprefix('gw'))
        os.environ.update(ROS_DOMAIN_ID=str(1 + taken % 101), OMP_NUM_THREADS='1')
    if STARTED_AGAIN in os.environ:
        return
    capture = config.pluginmanager.getplugin('capturemanager')
    if capture is not None:  # the terminal must be stdout again before the exec
        capture.stop_global_capturing()
    # 1 to 101: above that, DDS ports can meet Linux's ephemeral ports.
    environment = ros_environment(
        domain_id=random.randint(1, 101), discovery_range='LOCALHOST')
    environment[STARTED_AGAIN] = '1'
    os.execve(sys.executable, sys.orig_argv, environment)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Put files that take long first; `make test` hands them out in this order.

    Tests that wait for other processes or for DDS get a second try, as launch_testing's
    retry_on_failure gives one: a machine may stop any of them for seconds. The report names
    each that needed it. What is computed has one try.
    """
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))
    for item in items:
        if item.get_closest_marker('ros') or item.path.parent.name == 'demo':
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `ros` where ROS is missing, and say what is missing."""
    if item.get_closest_marker('ros'):
        reason = missing_ros()
        if reason:
            pytest.skip(reason)


class RosModule(pytest.Module):
    """Tests that import ROS: skipped as a whole, with the reason, where it is missing."""

    def collect(self):
        """Return the tests."""
        if reason := missing_ros():
            pytest.skip(reason, allow_module_level=True)
        return super().collect()


def pytest_pycollect_makemodule(module_path, parent):
    """Make the modules in ros/, and mark their tests `ros`."""
    if module_path.parent.name == 'ros':
        module = RosModule.from_parent(parent, path=module_path)
        module.add_marker('ros')
        return module


def missing_ros() -> str:
    """Return why ROS tests cannot run here; empty if they can."""
    if find_spec('rclpy') is None:
        return 'rclpy is not installed: run `make setup`, or source a ROS 2 installation'
    try:
        built = bool(built_prefixes()) or find_spec('sqap_vla_ros.msg') is not None
    except ConfigError as error:
        return str(error)
    return '' if built else 'sqap_vla_ros.msg is not built: run `make setup` or colcon build'


@pytest.fixture(scope='session')
def ros_process_environment() -> dict[str, str]:
    """Return the variables for a node process: this run's ROS domain, this machine only."""
    return ros_environment()


@pytest.fixture(scope='session', autouse=True)
def encoders_in_float32():
    """Let policies of this process have float32 encoders by auto, on any processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('sqap_vla_ros.support.machine.has_fast_bfloat16', lambda: False)
        rule = import_module('sqap_vla_ros.loading.vision_type')
        patch.setattr(rule, 'arithmetic', lambda: rule.Arithmetic(rule.SLOW, 'tests have none'))
        yield


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Return a directory with a random checkpoint of the chunk head."""
    from tiny_checkpoint import save_tiny_checkpoint
    path = tmp_path_factory.mktemp('checkpoint') / 'tiny'
    save_tiny_checkpoint(path)
    return path


@pytest.fixture
def load(tiny):
    """Return a function that loads a policy by the name of its head."""
    from tiny_policies import load_head
    return partial(load_head, tiny)


@pytest.fixture
def make_world():
    """Return a maker of worlds (a node and its robot), which are closed at the end."""
    from ros_harness import World
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(closing(World(*args)))


@pytest.fixture
def world(request, make_world):
    """Return an active node; a test's parameter `world` gives the node's parameters."""
    from ros_harness import KnownPolicy
    world = make_world(KnownPolicy, getattr(request, 'param', {}))
    world.start()
    return world
