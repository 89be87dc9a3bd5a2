# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The golden OpenVLA-OFT checkpoints of golden_data.oft, and what is expected of them."""
from functools import lru_cache

import golden_data
import numpy as np

CASES = (('oft_tiny', 0), ('oft_tiny', 1), ('oft_tiny_aloha', 1), ('oft_tiny_diffusion', 1))
CAMERAS = {'oft_tiny': ('full', 'wrist'), 'oft_tiny_diffusion': ('full', 'wrist'),
           'oft_tiny_aloha': ('full', 'left_wrist', 'right_wrist')}
PICTURES = {'oft_tiny_diffusion': 'oft_tiny'}  # which has the same


@lru_cache(maxsize=8)
def expected(variant, case):
    """Return what the official code computes."""
    return golden_data.expected(f'{variant}_case{case}')


def pictures(variant, case):
    """Return a case's images uint8 [224, 224, 3] by camera, in the network's order."""
    from sqap_vla_ros.ingest.images import read_image
    shared = PICTURES.get(variant, variant)
    return {name: read_image(golden_data.GOLDEN / f'{shared}_case{case}_{name}.png')
            for name in CAMERAS[variant]}


def observation(variant, case, **changes):
    """Return a case's Observation."""
    from sqap_vla_ros.observation import CameraView, Observation
    found = expected(variant, case)
    images = pictures(variant, case)
    given = {'image': images['full'], 'stamp_ns': 0, 'instruction': str(found['instruction']),
             'state': found['state'], 'camera': 'full',
             'views': {name: CameraView(image, 0) for name, image in images.items()
                       if name != 'full'}, **changes}
    return Observation(**given)


def noise(variant, case):
    """Return what a diffusing head begins with, None for others."""
    found = expected(variant, case)
    return found['x'][0] if 'x' in found else None


@lru_cache(maxsize=4)
def directory(variant):
    """Return the directory of a variant, which tests share."""
    return golden_data.oft(variant)


def output_layer(path):
    """Return the language model's output layer float32 [V, D] of a directory."""
    from safetensors import safe_open
    for shard in sorted(path.glob('*.safetensors')):
        with safe_open(shard, 'pt') as file:
            if (name := 'language_model.lm_head.weight') in file.keys():
                return file.get_tensor(name).float()
    raise AssertionError(f'{path} has no output layer')


def load(variant, **options):
    """Load a checkpoint, with as many denoising steps as its cases have."""
    from sqap_vla_ros.policy import load_policy
    steps = {'ddim_steps': 10} if variant == 'oft_tiny_diffusion' else {}
    return load_policy(directory(variant), **{**steps, **options})


@lru_cache(maxsize=4)
def loaded(variant):
    """Return a policy that tests share; each must leave it as it was."""
    return load(variant)


def stages(policy, variant, case, given=None):
    """Return all stages of an answer, thinned like the expected ones."""
    from sqap_vla_ros.inference.recording import StageRecorder
    with StageRecorder(policy) as recorder:
        policy.infer(given or observation(variant, case), noise(variant, case))
    return thinned(recorder.stages(), expected(variant, case))


def thinned(found, wanted):
    """Return stages as the expected ones are kept."""
    found = dict(found)
    found['pixel_values_every16th'] = found['pixel_values'][:, :, ::16, ::16]
    found['vision_features'] = found['vision_features'][:, wanted['patch_index']]
    for name in ('hidden_states', 'hidden_states_first', 'hidden_states_last'):
        if name in found:
            rows = wanted['row_index']
            found[name] = found[name][:, rows[rows < found[name].shape[1]]]
    return found


def errors(found, wanted):
    """Return the largest difference of every stage that both have."""
    return {name: float(np.abs(found[name] - wanted[name].astype(np.float64)).max())
            if found[name].shape == wanted[name].shape else np.inf
            for name in wanted if name in found and wanted[name].dtype.kind in 'fi'}
