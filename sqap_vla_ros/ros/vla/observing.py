# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which of the node's cameras a policy sees, and the Observer that looks at all of them."""

from sqap_vla_ros.ingest.cameras import cameras_seen
from sqap_vla_ros.ingest.observer import Observer, ObserverOptions

from .topics import check_quality


def cameras_shown(node, config, policy) -> tuple[str, ...]:
    """
    Return the names of the cameras that the policy sees, said once where there are several.

    Images of the first are the ones that are asked about.  Raises ConfigError where the policy
    asks for one that is not configured, and for qos_overrides of results that there are not.
    """
    taken = tuple(getattr(policy, 'cameras', ()))  # a class of one's own may not say
    cameras = cameras_seen(config.cameras, taken)
    check_quality(node, config, cameras)
    others = [name for name in config.cameras if name not in cameras]
    if len(cameras) > 1 or others:
        node.get_logger().info(
            f'the policy sees the camera{"s" if len(cameras) > 1 else ""} {", ".join(cameras)}'
            + (f'; {", ".join(others)} {"is" if len(others) == 1 else "are"} checked and drawn, '
               'and not shown to it' if others else ''))
    return cameras


def observer_options(config) -> dict[str, ObserverOptions]:
    """Return how to look at each camera, by its name; '' for the only one."""
    return {name: ObserverOptions.of(config.for_camera(name)) for name in config.cameras or ('',)}


def observer_of(config, inputs, transforms, policy, waiting, shown=()) -> Observer:
    """
    Return what looks at all cameras of Inputs, the main one first.

    waiting: see Observer.  shown: names of the cameras that the policy sees.
    """
    options, main = observer_options(config), inputs.main
    return Observer(
        options[main.name], inputs, transforms, policy.state_names, waiting,
        {name: (options[name], camera) for name, camera in inputs.cameras.items()
         if camera is not main}, shown)
