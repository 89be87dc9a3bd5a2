# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What check-camera takes from the node's YAML, so that nobody has to type it again."""

from __future__ import annotations

from dataclasses import fields, replace

from ..calibration.names import sibling_info
from ..errors import ConfigError
from ..ingest.observer import ObserverOptions
from ..ros.vla.config import NodeConfig, PARAMETERS, PER_CAMERA
from ..support.requirements import missing_modules_as
from ..support.validation import unknown_names

COMPRESSED = '/compressed'
# What an image is looked at with, and nothing that only commands need: those may be wrong here.
USED = ({item.name for item in fields(ObserverOptions)} & set(PARAMETERS)) | {
    'cameras', 'image_transport', 'protected_radius', 'checkpoint'}
PRUNING = {'keep_tokens': 1, 'protect': True, 'selection_method': 'sqap'}  # what protects frames


def node_config(args) -> NodeConfig:
    """Return what --config and the options that overrule it say; raise ConfigError."""
    values = _values(args) if args.config else {}
    cameras = [name for name in values.get('cameras') or () if name]
    _check_camera(args.camera, cameras)
    known = USED | {f'{camera}.{name}' for camera in cameras for name in PER_CAMERA}
    config = NodeConfig.from_parameters(
        {**{name: value for name, value in values.items() if name in known}, **PRUNING})
    told = {'base_frame': args.base_frame, 'camera_frame': args.camera_frame,
            'end_effector_frames': args.frames and tuple(args.frames),
            'protected_frames': args.frames and (), 'camera_rectified': args.rectified,
            'image_transport': 'compressed' if (args.image or '').endswith(COMPRESSED) else None}
    return replace(config.for_camera(args.camera), **{
        name: value for name, value in told.items() if value is not None})


def _values(args) -> dict:
    """Return the parameters of the files, later ones on top, as launch hands them to the node."""
    with missing_modules_as(ConfigError):
        from ..ros.launching.files import parameter_file
        from ..ros.vla.overrides import parameters_of
    values = {}
    for text in args.config:
        path = parameter_file('--config', text)
        values.update(parameters_of(path, '/' + args.node.strip('/'), PARAMETERS))
    return values


def _check_camera(camera, cameras) -> None:
    if camera and camera not in cameras:
        raise ConfigError(f'--camera {unknown_names([camera], cameras)} is none of the parameter '
                          f'cameras of --config: {cameras}')
    if cameras and not camera:
        raise ConfigError(f'--config has the cameras {cameras}: name one by --camera')


def remappings(args) -> dict:
    """Return {name: topic} of what the options name, as the node would be told them."""
    base = f'{args.camera}/' if args.camera else ''
    image, info = _topics(args)
    return {name: topic for name, topic in ((f'{base}image', image),
                                            (f'{base}camera_info', info)) if topic}


def topics_in_bag(args) -> tuple[str, str]:
    """Return the topics (image, camera_info) to look for, '' for what the bag has."""
    image, info = _topics(args)
    if args.camera:
        image = image or f'{args.camera}/image'
        info = info or sibling_info(image)
    return _absolute(image), _absolute(info if args.camera_info or args.camera else '')


def _topics(args) -> tuple[str, str]:
    image = (args.image or '').removesuffix(COMPRESSED)
    return image, args.camera_info or (sibling_info(image) if image else '')


def _absolute(topic: str) -> str:
    return topic if topic.startswith('/') or not topic else f'/{topic}'
