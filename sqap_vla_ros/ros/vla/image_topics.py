# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Names of image topics as image_transport has them, and where images are if not there."""

COMPRESSED = '/compressed'
IMAGE, COMPRESSED_IMAGE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
MOST_NAMED = 4


def image_topic(node, compressed: bool, topic: str = 'image') -> str:
    """
    Return the name to subscribe to for images, before remapping: `image`, or its transport.

    As image_transport has it, remapping `image` moves image/compressed with it, but for a
    remapping of image/compressed itself.
    """
    base = node.resolve_topic_name(topic)
    if not compressed or base.endswith(COMPRESSED):
        return topic
    is_remapped = (node.resolve_topic_name(topic + COMPRESSED)
                   != node.resolve_topic_name(topic + COMPRESSED, only_expand=True))
    return topic + COMPRESSED if is_remapped else base + COMPRESSED


def why_no_image(node, topic: str, transport: str, parameter: str) -> str:
    """
    Return what the graph tells of a topic on which no image has come in, '' for nothing.

    transport: 'raw' or 'compressed'; parameter: that says so, to name.
    """
    kinds = dict(node.get_topic_names_and_types())
    wanted, other = IMAGE, COMPRESSED_IMAGE
    if transport == 'compressed':
        wanted, other = other, wanted
    own = node.get_fully_qualified_name() + '/'
    published = {name for name, types in kinds.items()
                 if {wanted, other} & set(types) and not name.startswith(own)
                 and node.count_publishers(name)}
    wrong = [kind for kind in kinds.get(topic, ()) if kind != wanted]
    if wrong and topic in published:
        instead = 'compressed' if wrong[0] == COMPRESSED_IMAGE else 'raw'
        return (f': it is a {wrong[0]}' + (f', set {parameter} to {instead}'
                                           if wrong[0] == other else ''))
    if topic in published:
        return ''
    sister = topic.removesuffix(COMPRESSED) if transport == 'compressed' else topic + COMPRESSED
    if sister in published:
        return (f', but {sister} is published: set {parameter} to '
                + ('raw' if transport == 'compressed' else 'compressed'))
    others = sorted(name for name in published if wanted in kinds[name])
    return ': nobody publishes it' + (
        f'. Images are on {", ".join(others[:MOST_NAMED])}: remap to one of them'
        if others else '')
