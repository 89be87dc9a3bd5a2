# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which of the node's cameras a policy sees, and the Observer that looks at all of them."""

from sqap_vla_ros.ingest.cameras import camera_seen
from sqap_vla_ros.ingest.observer import Observer, ObserverOptions

from .topics import check_quality


def camera_shown(node, config, policy) -> str:
    """
    Return the name of the camera that the policy sees, said once where there are several.

    Raises ConfigError where the policy asks for one that is not configured, and for qos_overrides
    of ~/NAME/overlay of the one that it sees.
    """
    taken = tuple(getattr(policy, 'cameras', ()))  # a class of one's own may not say
    camera = camera_seen(config.cameras, taken)
    check_quality(node, config, camera)
    others = [name for name in config.cameras if name != camera]
    if others:
        node.get_logger().info(
            f'the policy sees the camera {camera}; {", ".join(others)} '
            f'{"is" if len(others) == 1 else "are"} checked and drawn, and not shown to it')
    return camera


def observer_options(config) -> dict[str, ObserverOptions]:
    """Return how to look at each camera, by its name; '' for the only one."""
    return {name: ObserverOptions.of(config.for_camera(name)) for name in config.cameras or ('',)}


def observer_of(config, inputs, transforms, policy, waiting) -> Observer:
    """Return what looks at all cameras of Inputs, the main one first; waiting: see Observer."""
    options, main = observer_options(config), inputs.main
    return Observer(
        options[main.name], inputs, transforms, policy.state_names, waiting,
        {name: (options[name], camera) for name, camera in inputs.cameras.items()
         if camera is not main})
