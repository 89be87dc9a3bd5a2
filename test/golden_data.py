# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The golden checkpoints, written once a test run, and the expected outputs beside them."""
import atexit
from dataclasses import replace
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
import json
from pathlib import Path
import shutil
import sys
import tempfile

import numpy as np

GOLDEN = Path(__file__).resolve().parent / 'golden'
CASES = (0, 1)
KEY = 'bridge_orig'
OTHER_SIZES = {'dino': (96, 3, 3, 160), 'siglip': (80, 2, 2, 100), 'hidden': 64, 'mlp': 96,
               'layers': 3, 'heads': 8, 'kv_heads': 2, 'patches': 64, 'dtype': 'bfloat16'}


@lru_cache(maxsize=1)
def recipe():
    """Return the module golden/recipe.py."""
    spec = spec_from_file_location('golden_recipe', GOLDEN / 'recipe.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache(maxsize=1)
def _folder():
    path = Path(tempfile.mkdtemp(prefix='sqap_golden_'))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@lru_cache(maxsize=8)
def openvla(**sizes):
    """Return an OpenVLA directory; sizes: of recipe.Sizes."""
    return recipe().write_openvla(Path(tempfile.mkdtemp(dir=_folder())), recipe().Sizes(**sizes))


@lru_cache(maxsize=8)
def cogact(**sizes):
    """Return a CogACT run directory; sizes: of recipe.Sizes."""
    return recipe().write_cogact(Path(tempfile.mkdtemp(dir=_folder())), recipe().Sizes(**sizes))


@lru_cache(maxsize=1)
def recipe_oft():
    """Return the module golden/recipe_oft.py."""
    spec = spec_from_file_location('golden_recipe_oft', GOLDEN / 'recipe_oft.py')
    module = sys.modules['golden_recipe_oft'] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache(maxsize=8)
def oft(variant='oft_tiny', sizes=(), **changes):
    """
    Return an OpenVLA-OFT directory.

    variant: of recipe_oft.VARIANTS, with changes of its fields.  sizes: of recipe.Sizes, pairs.
    """
    own = recipe_oft()
    return own.write_oft(Path(tempfile.mkdtemp(dir=_folder())),
                         replace(own.VARIANTS[variant], **changes),
                         replace(own.SIZES, **dict(sizes)))


def expected(name):
    """Return the arrays of a .npz file in golden/."""
    with np.load(GOLDEN / f'{name}.npz') as file:
        return dict(file)


def image(case):
    """Return a case's input image, uint8 [H, W, 3]."""
    from sqap_vla_ros.ingest.images import read_image
    return read_image(GOLDEN / f'case{case}.png')


def observation(case, **changes):
    """Return a case's Observation."""
    from sqap_vla_ros.observation import Observation
    given = {'image': image(case), 'stamp_ns': 0,
             'instruction': str(expected(f'openvla_case{case}')['instruction']), **changes}
    return Observation(**given)


def load(head, sizes=(), **options):
    """Load a golden checkpoint, or one of other sizes, by the name of its head."""
    from sqap_vla_ros.policy import load_policy
    sizes, options = dict(sizes), {'unnorm_key': KEY, **options}
    if head == 'openvla':
        return load_policy(openvla(**sizes), **options)
    return load_policy(cogact(**sizes), tokenizer=openvla(), **options)


@lru_cache(maxsize=8)
def loaded(head, precision='fp', keep=None):
    """Return a policy that tests share; each must leave it as it was."""
    return load(head, precision=precision, keep=keep)


def stages(policy, case, *noise):
    """Return all stages of an answer, thinned like the expected ones."""
    from sqap_vla_ros.inference.recording import StageRecorder
    with StageRecorder(policy) as recorder:
        policy.infer(observation(case), *noise)
    found = recorder.stages()
    for name in ('dino_features', 'siglip_features', 'projected'):
        found[name] = found[name][::4]
    return {**found, 'hidden_states': found['hidden_states'][:, ::-1][:, ::4]}


def copy_of(head, tmp_path):
    """Return a copy of a golden checkpoint that a test may damage."""
    return shutil.copytree(openvla() if head == 'openvla' else cogact(), tmp_path / head)


def edit(path, change):
    """Change a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
