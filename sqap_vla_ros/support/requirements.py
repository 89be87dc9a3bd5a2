# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What this package imports beside Python's own library, and how to get what is not there.

setup.py and package.xml tell pip and rosdep the same; a test holds the three together. CMake runs
this file before anything is installed, with the Python that the nodes are to run with.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
import os
import sys

# module: distribution of PyPI
CORE = {'PIL': 'pillow', 'cv2': 'opencv-python-headless', 'numpy': 'numpy',
        'safetensors': 'safetensors', 'tokenizers': 'tokenizers', 'torch': 'torch',
        'tqdm': 'tqdm'}
ROS = ('rclpy', 'action_msgs', 'builtin_interfaces', 'diagnostic_msgs', 'geometry_msgs',
       'lifecycle_msgs', 'rcl_interfaces', 'rosgraph_msgs', 'sensor_msgs', 'std_msgs', 'std_srvs',
       'tf2_msgs', 'trajectory_msgs')
# module: what there is not without it
OPTIONAL_ROS = {
    'ament_index_python': 'launch files', 'control_msgs': 'grippers that take actions',
    'launch': 'launch files', 'launch_ros': 'launch files', 'moveit_msgs': 'parameter servo_node'}
STAND_INS = ('control_msgs', 'moveit_msgs', 'tf2_msgs')  # in interfaces/, for where no ROS has
# module: extra of setup.py
EXTRAS = {'av': 'bags', 'backports': 'bags', 'libero': 'sim', 'lz4': 'bags',
          'matplotlib': 'sim', 'mujoco': 'sim', 'pinocchio': 'kinematics', 'pyarrow': 'bags',
          'rosbags': 'bags', 'scipy': 'ros', 'transformers': 'language', 'triton': 'gpu',
          'yaml': 'ros'}
# the same of what these import themselves
BELOW_EXTRAS = {'accelerate': 'language', 'bddl': 'sim', 'gguf': 'language', 'robosuite': 'sim'}
# and of what benchmarks alone import
BENCHMARKS = {'llama_cpp': 'llama-cpp', 'nncf': 'peers', 'onnx': 'peers', 'onnxruntime': 'peers',
              'openvino': 'peers'}
BUILD_STAND_INS = ('colcon build --base-paths src/sqap_vla_ros src/sqap_vla_ros/interfaces/* '
                   'and `source install/setup.bash` again')
BUILT = ('sqap_vla_ros.msg', 'sqap_vla_ros.action')
HELP = """usage: {name} [--ros-args [--params-file FILE] [-p NAME:=VALUE] [-r FROM:=TO] ...]

`ros2 param describe /{name} NAME` explains a parameter of the running node; all of them are in
docs/ros_interface.md of sqap_vla_ros, and the launch files take them as arguments:
`ros2 launch sqap_vla_ros vla.launch.py --show-args`."""


class MissingModule(Exception):
    """A module is not installed; the message says how to get it."""


def cure(name: str) -> str | None:
    """
    Return one line on how to get a module that was not found; None for one that is not known.

    name: as ModuleNotFoundError has it, and what else of its kind is missing is told with it.
    """
    top = name.partition('.')[0]
    if top in CORE:
        return _by_pip(missing(CORE) or [top])
    extra = {**EXTRAS, **BELOW_EXTRAS, **BENCHMARKS}.get(top)
    if extra:
        return (f'{sys.executable} has no module {top}: `{sys.executable} -m pip install -e '
                f"'.[{extra}]'` in the directory of this package brings it")
    if top in ROS:
        return _by_ros(missing(ROS) or [top])
    if top in OPTIONAL_ROS:
        return _by_ros([top])
    if name in BUILT:
        return ('the messages of this package are not built, or not on the path: `make setup`, or '
                '`colcon build` and then `source install/setup.bash`')
    return None


@contextmanager
def missing_modules_as(kind: type[Exception]) -> Iterator[None]:
    """Raise `kind`, with the cure, for a module that is missing and known; others stay a bug."""
    try:
        yield
    except ModuleNotFoundError as error:
        text = cure(error.name or '')
        if text is None:
            raise
        raise kind(text) from error


def start(name: str, module: str) -> int:
    """
    Return what main() of a module does; 1, with the cure in one line, where an import fails.

    name: of the executable, which begins the line. Ctrl-C before there is a node to stop ends it
    as one later does: with 0.
    """
    if {'-h', '--help'} & set(sys.argv[1:]):
        print(HELP.format(name=name))
        return 0
    try:
        with missing_modules_as(MissingModule):
            return import_module(module).main()
    except MissingModule as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def require(kind: type[Exception], *modules: str) -> None:
    """Raise `kind`, with the cure, for the first module that this Python does not find."""
    for module in missing(modules)[:1]:
        raise kind(cure(module))


def missing(modules: Iterable[str]) -> list[str]:
    """Return those of some modules that this Python does not find; none is imported."""
    specs = {name: find_spec(name) for name in modules}
    return [name for name, spec in specs.items()
            if spec is None or spec.origin is None]  # the latter: a directory of that name


def _by_pip(modules):
    names = [CORE[module] for module in modules]
    return (f'{sys.executable} has no {", ".join(modules)}: `{sys.executable} -m pip install '
            f'{" ".join(names)}`, or build with the Python that has them (colcon build '
            '--cmake-args -DPython3_EXECUTABLE=its path)')


def _by_ros(modules):
    distro = os.environ.get('ROS_DISTRO', '<distro>')
    if 'rclpy' in modules:
        return (f'{sys.executable} finds no rclpy: `source /opt/ros/{distro}/setup.bash`, or '
                '`make setup` in the directory of this package, which takes ROS 2 from wheels')
    debian = ' '.join(f'ros-{distro}-{name.replace("_", "-")}' for name in modules)
    text = f'{", ".join(modules)}: not on the path; `sudo apt install {debian}`'
    if set(modules) & set(STAND_INS):
        text += ('; or, where ROS 2 comes from wheels, which lack it, build what this package '
                 f'brings, too: {BUILD_STAND_INS}')
    return text


def main() -> int:
    """
    Print what the nodes need and this Python does not find, and to stderr what they go without.

    Returns 1 if anything that they need is missing.
    """
    needed = [tell(names) for tell, names in ((_by_ros, missing(ROS)), (_by_pip, missing(CORE)))
              if names]
    print('\n'.join(needed))
    less = [f'no {OPTIONAL_ROS[name]} without {name}' for name in missing(OPTIONAL_ROS)]
    if less:
        print('optional: ' + ', '.join(less), file=sys.stderr)
    return int(bool(needed))


if __name__ == '__main__':
    sys.exit(main())
