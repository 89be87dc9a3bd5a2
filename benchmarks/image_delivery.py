# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How many of a camera's images arrive in another process, by the Fast DDS profiles of both.

    python -m sqap_vla_ros.support.ros_environment python benchmarks/image_delivery.py

640x480 rgb8 at 30 Hz for six seconds from one process to another, which has been found before.
"""
import argparse
from array import array
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

CONFIG = Path(__file__).resolve().parents[1] / 'config'
VARIABLES = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
EMPTY = ('<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"><profiles>'
         '<participant profile_name="usual" is_default_profile="true"><rtps/></participant>'
         '</profiles></dds>')
CASES = [  # profile of the camera, of the node
    ('fastdds.xml', 'fastdds.xml'), ('none', 'fastdds.xml'), ('none', 'none'),
    ('none', 'fastdds_udp.xml'), ('fastdds.xml', 'fastdds_udp.xml')]
SECONDS, HZ = 6.0, 30


def node_with(reliable):
    """Return (a node, the QoS of images)."""
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    rclpy.init()
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return rclpy.create_node('delivery'), QoSProfile(depth=1, reliability=reliability)


def send(reliable):
    """Publish images, once somebody listens."""
    from sensor_msgs.msg import Image
    node, profile = node_with(reliable)
    publisher = node.create_publisher(Image, 'image', profile)
    while not publisher.get_subscription_count():
        time.sleep(0.05)
    time.sleep(1.0)
    image = Image(height=480, width=640, encoding='rgb8', step=1920,
                  data=array('B', bytes(921600)))
    due_s = time.monotonic()
    for _ in range(round(SECONDS * HZ)):
        publisher.publish(image)
        due_s += 1 / HZ
        time.sleep(max(0.0, due_s - time.monotonic()))


def hear(reliable):
    """Print how many images arrive, until none comes for some seconds."""
    import rclpy
    from sensor_msgs.msg import Image
    node, profile = node_with(reliable)
    heard = []
    node.create_subscription(Image, 'image', lambda _: heard.append(0), profile)
    end_s = time.monotonic() + SECONDS + 8
    while time.monotonic() < end_s:
        rclpy.spin_once(node, timeout_sec=0.2)
    print(len(heard))


def environment(profile, empty):
    """Return the environment of a process with a profile."""
    path = empty if profile == 'none' else CONFIG / profile
    return {**os.environ, **dict.fromkeys(VARIABLES, str(path))}


def main():
    """Try all cases, or be one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--be', choices=['camera', 'node'])
    parser.add_argument('--reliable', action='store_true')
    args = parser.parse_args()
    from sqap_vla_ros.support.progress import Progress
    if args.be:
        return (send if args.be == 'camera' else hear)(args.reliable)
    print(f'{"camera":12} {"node":16} {"qos":12} arrived of {round(SECONDS * HZ)}')
    with tempfile.TemporaryDirectory() as directory:
        empty = Path(directory, 'none.xml')
        empty.write_text(EMPTY)
        for camera, node in CASES:
            for more in ([], ['--reliable']):
                command = [sys.executable, __file__, *more, '--be']
                listener = subprocess.Popen([*command, 'node'], stdout=subprocess.PIPE,
                                            env=environment(node, empty), text=True)
                with Progress(f'{camera} to {node}'):
                    subprocess.run(
                        [*command, 'camera'], env=environment(camera, empty), check=True)
                print(f'{camera:12} {node:16} {"reliable" if more else "best effort":12} '
                      + listener.communicate()[0].strip(), flush=True)
    return None


if __name__ == '__main__':
    main()
