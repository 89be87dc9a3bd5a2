# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What check-camera takes from the node's YAML, so that nobody has to type it again."""

from __future__ import annotations

from dataclasses import fields

from ..calibration.names import sibling_info
from ..calibration.node_file import of_camera, parameters_of
from ..errors import ConfigError
from ..ingest.observer import ObserverOptions
from ..ros.vla.config import NodeConfig, PARAMETERS
from ..support.validation import unknown_names

COMPRESSED = '/compressed'
# What an image is looked at with, and nothing that only commands need: those may be wrong here.
USED = ({item.name for item in fields(ObserverOptions)} & set(PARAMETERS)) | {
    'image_transport', 'protected_radius', 'checkpoint'}
PRUNING = {'keep_tokens': 1, 'protect': True, 'selection_method': 'sqap'}  # what protects frames
ROS_OWN = ('use_sim_time', 'start_type_description_service', 'cameras')


def node_config(args) -> NodeConfig:
    """Return the configuration of --config with the options that overrule it; raise ConfigError."""
    values = parameters_of(args.config, args.node) if args.config else {}
    _check_names(values, args.config)
    values = {name: value for name, value in of_camera(values, args.camera).items()
              if name in USED}
    told = {'base_frame': args.base_frame, 'camera_frame': args.camera_frame,
            'end_effector_frames': args.frames and tuple(args.frames),
            'camera_rectified': args.rectified}
    values.update({name: value for name, value in told.items() if value is not None})
    if (args.image or '').endswith(COMPRESSED):
        values['image_transport'] = 'compressed'
    return NodeConfig.from_parameters({**values, **PRUNING})


def _check_names(values, path) -> None:
    prefixes = tuple(f'{name}.' for name in values.get('cameras') or () if name)
    plain = {name.split('.', 1)[1] if prefixes and name.startswith(prefixes) else name
             for name in values if not name.startswith('qos_overrides.')}
    unknown = unknown_names(plain, {*PARAMETERS, *ROS_OWN})
    if unknown:
        raise ConfigError(f'--config {path} has unknown parameters: {unknown}')


def topics(args) -> dict:
    """Return {'image': topic, 'camera_info': topic} that are not the defaults."""
    prefix = f'{args.camera}/' if args.camera else ''
    image = (args.image or '').removesuffix(COMPRESSED) or (prefix and f'{prefix}image')
    info = args.camera_info or (sibling_info(image) if image else '')
    return {name: topic for name, topic in (('image', image), ('camera_info', info)) if topic}


def in_bag(topic: str) -> str:
    """Return a topic as bags name it, '' for ''."""
    return topic if topic.startswith('/') or not topic else f'/{topic}'
