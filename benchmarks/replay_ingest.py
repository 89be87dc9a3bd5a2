# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How fast a bag is looked at, and what that holds in memory: reading, decoding, Observer; no policy.

A bag of 640 x 480 images at 30 Hz, raw or JPEG, TF of ten frames at 100 Hz and joint_states of
nine joints at 500 Hz is made on the disk and gone through: the file alone (the floor of the
disk), JPEG decoding alone (the floor of the processor), its messages, and its observations. All
are told as seconds of recording a second, by the clock, which counts on a machine that does
nothing else, and by the time of all threads on processors. With --gigabytes, a long raw bag shows
whether the memory grows; it is removed afterwards.

    python benchmarks/replay_ingest.py --gigabytes 10
"""
import argparse
from datetime import datetime, timezone
import json
import os
from pathlib import Path
import shutil
import struct
import tempfile
import time

import cv2
import numpy as np
from rig.process_facts import facts
from sqap_vla_ros.ingest.observer import ObserverOptions
from sqap_vla_ros.recordings.bag import BagRecording
from sqap_vla_ros.recordings.bag_writer import bag_bytes, Offer, opened_bag
from sqap_vla_ros.recordings.made import header_values, serialized, standard_types
from sqap_vla_ros.replay.looking import Looking, LookOptions
from sqap_vla_ros.replay.topics import topic_map
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress

RESULTS = Path(__file__).resolve().parent / 'results' / 'replay_ingest.json'
WIDTH, HEIGHT, IMAGES_HZ, TF_HZ, JOINTS_HZ = 640, 480, 30, 100, 500
FRAMES, JOINTS, PICTURES, JPEG_QUALITY = 10, 9, 32, 90
START_NS = 1_795_000_000 * 10**9
FACTOR_AIM, GROWTH_AIM_MIB = 10.0, 8.0  # the second: of a whole long bag, behind its first tenth
STAMP = struct.Struct('<iI')
SENSOR = (Offer(5, reliable=False),)
FORMS = {'raw, mcap': ('mcap', False, False), 'raw, mcap, zstd': ('mcap', True, False),
         'raw, sqlite3': ('sqlite3', False, False), 'jpeg, mcap': ('mcap', False, True),
         'jpeg, sqlite3': ('sqlite3', False, True)}
INFO, IMAGE = 'sensor_msgs/msg/CameraInfo', 'sensor_msgs/msg/Image'
COMPRESSED, TF, JOINT = ('sensor_msgs/msg/CompressedImage', 'tf2_msgs/msg/TFMessage',
                         'sensor_msgs/msg/JointState')
OPTIONS = ObserverOptions(base_frame='base', end_effector_frames=('link9',))


def pictures():
    """Return PICTURES images [H, W, 3] of a scene with shapes, texture and noise that moves."""
    random = np.random.default_rng(0)
    grains = random.integers(0, 255, (HEIGHT, 2 * WIDTH, 3), np.uint8)
    texture = cv2.GaussianBlur(grains, (9, 9), 3)
    found = []
    for number in range(PICTURES):
        image = texture[:, 4 * number:4 * number + WIDTH].copy()
        cv2.circle(image, (200 + 3 * number, 240), 60, (40, 90, 200), -1)
        cv2.rectangle(image, (400, 150 + number), (520, 330), (190, 180, 40), -1)
        noise = random.integers(-4, 5, image.shape, np.int16)
        found.append(np.clip(image + noise, 0, 255).astype(np.uint8))
    return found


class Robot:
    """Serialized messages of a robot that stands still, as templates of which stamps are set."""

    def __init__(self, jpeg):
        """Serialize one of each."""
        self.jpeg, self._store = jpeg, standard_types()
        self.images = [self._image(picture) for picture in pictures()]
        self.info = self._made(INFO, {
            'header': header_values(0, 'camera'), 'width': WIDTH, 'height': HEIGHT,
            'distortion_model': 'plumb_bob', 'd': np.zeros(5),
            'k': [500.0, 0, 320, 0, 500, 240, 0, 0, 1], 'r': np.eye(3).ravel(),
            'p': [500.0, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0]})
        self.joints = self._made(JOINT, {
            'header': header_values(0), 'name': [f'joint{n}' for n in range(JOINTS)],
            'position': np.linspace(0, 1, JOINTS), 'velocity': np.zeros(JOINTS),
            'effort': np.zeros(JOINTS)})
        links = ['base', *(f'link{n}' for n in range(FRAMES))]
        self.tf, self.tf_places = self._transforms(list(zip(links, links[1:])), 0.05)
        self.static, _ = self._transforms([('base', 'camera')], -1.0)

    def _made(self, kind, values):
        return bytearray(serialized(self._store, kind, values))

    def _image(self, picture):
        if self.jpeg:
            data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
            return self._made(COMPRESSED, {'header': header_values(0, 'camera'), 'format': (
                'rgb8; jpeg compressed bgr8'), 'data': data.ravel()})
        return self._made(IMAGE, {
            'header': header_values(0, 'camera'), 'width': WIDTH, 'height': HEIGHT,
            'encoding': 'rgb8', 'step': 3 * WIDTH, 'data': picture.ravel()})

    def _transforms(self, pairs, z):
        """Return (message, where its stamps are)."""
        one = 123_456_789 * 10**9 + 987_654_321
        message = self._made(TF, {'transforms': [{
            'header': header_values(one, parent), 'child_frame_id': child,
            'transform': {'translation': {'z': z}, 'rotation': {'w': 1.0}}}
            for parent, child in pairs]})
        mark, places = STAMP.pack(123_456_789, 987_654_321), []
        while (at := message.find(mark, places[-1] + 1 if places else 0)) >= 0:
            places.append(at)
        return message, places


def stamped(message, time_ns, places=(4,)):
    """Return a message with another stamp."""
    for place in places:
        STAMP.pack_into(message, place, time_ns // 10**9, time_ns % 10**9)
    return message


def write_bag(path, form, seconds):
    """Write a bag of so many seconds, in the order in which a recorder hears it."""
    storage, compressed, jpeg = FORMS[form]
    robot, image = Robot(jpeg), '/camera/image/compressed' if jpeg else '/camera/image'
    every = np.arange(round(seconds * JOINTS_HZ))
    with opened_bag(path, storage, compressed) as bag, Progress(
            f'writing {form}', len(every), 'step', scaled=True) as progress:
        bag.add_topic('/tf_static', TF, (Offer(1, latched=True),))
        bag.add_topic('/tf', TF)
        bag.add_topic('/joint_states', JOINT)
        bag.add_topic('/camera/camera_info', INFO, SENSOR)
        bag.add_topic(image, COMPRESSED if jpeg else IMAGE, SENSOR)
        bag.write('/tf_static', START_NS, bytes(robot.static))
        count = 0
        for step in every:
            time_ns = START_NS + int(step) * 10**9 // JOINTS_HZ
            bag.write('/joint_states', time_ns, bytes(stamped(robot.joints, time_ns)))
            if step % (JOINTS_HZ // TF_HZ) == 0:
                bag.write('/tf', time_ns, bytes(stamped(robot.tf, time_ns, robot.tf_places)))
            if step * IMAGES_HZ >= count * JOINTS_HZ:
                bag.write('/camera/camera_info', time_ns, bytes(stamped(robot.info, time_ns)))
                picture = robot.images[count % PICTURES]
                bag.write(image, time_ns, bytes(stamped(picture, time_ns)))
                count += 1
            progress.advance()


def looking(recording):
    """Return what looks at the bag."""
    jpeg = any(topic.kind == COMPRESSED for topic in recording.topics)
    topics = topic_map(recording.topics, None, {'': 'compressed' if jpeg else 'raw'})
    return Looking(recording, topics, LookOptions({'': OPTIONS}, instruction='pick the cup'))


def read_file(path):
    """Read the files of a bag, from the page cache or the disk; return bytes."""
    total = 0
    for file in sorted(Path(path).iterdir()):
        with file.open('rb', buffering=0) as stream:
            while piece := stream.read(2**22):
                total += len(piece)
    return total


def decode(path):
    """Decode the JPEGs of a bag and nothing else; return how many."""
    found = [item.read().data for item in BagRecording(path).messages(
        ['/camera/image/compressed'])]
    began_s = time.perf_counter()
    for data in found:
        cv2.imdecode(data, cv2.IMREAD_COLOR)
    return time.perf_counter() - began_s


def timed(work):
    """Return (seconds, what it returned)."""
    began_s = time.perf_counter()
    found = work()
    return time.perf_counter() - began_s, found


def messages(path):
    """Go through all messages of a bag; return how many."""
    with_all = BagRecording(path)
    return sum(1 for _ in with_all.messages([topic.name for topic in with_all.topics]))


def observations(path):
    """Look at all images of a bag; return how many, raise RuntimeError for one without answer."""
    count = 0
    for look in looking(BagRecording(path)):
        if look.problem:
            raise RuntimeError(look.problem)
        count += 1
    return count


def forget_pages(path):
    """Let the next reading come from the disk."""
    for file in Path(path).iterdir():
        with file.open('rb') as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def speed(path, form, seconds):
    """Return the figures of one form."""
    write_bag(path, form, seconds)
    size = bag_bytes(path)
    forget_pages(path)
    disk_s, _ = timed(lambda: read_file(path))
    cache_s, _ = timed(lambda: read_file(path))
    read_s, read = min(timed(lambda: messages(path)) for _ in range(2))
    cpu_s = time.process_time()
    ingest_s, images = min(timed(lambda: observations(path)) for _ in range(3))
    cpu_s = (time.process_time() - cpu_s) / 3
    figures = {
        'mib': size / 2**20, 'messages': read, 'images': images,
        'mib_a_recorded_second': size / 2**20 / seconds,
        'factor': {'file_from_disk': seconds / disk_s, 'file_from_cache': seconds / cache_s,
                   'messages': seconds / read_s, 'ingest': seconds / ingest_s,
                   'ingest_by_cpu_time': seconds / cpu_s},
        'ingest_ms_an_image': 1e3 * ingest_s / images}
    if FORMS[form][2]:
        figures['factor']['jpeg_decoding'] = seconds / min(decode(path) for _ in range(2))
    return figures


def memory(path, gigabytes):
    """Return what is resident along a long raw bag, in MiB by the share of its images."""
    seconds = gigabytes * 1e9 / (WIDTH * HEIGHT * 3 * IMAGES_HZ + 400 * JOINTS_HZ)
    write_bag(path, 'raw, mcap', seconds)
    size, total, held = bag_bytes(path), round(seconds * IMAGES_HZ), []
    began_s = time.perf_counter()
    with Progress('looking at the long bag', total, 'image') as progress:
        for number, look in enumerate(looking(BagRecording(path))):
            if number % max(1, total // 100) == 0:
                held.append(facts('self')['rss_mib'])
            progress.advance()
    took_s = time.perf_counter() - began_s
    tenth = max(held[:len(held) // 10])
    return {'gigabytes': size / 1e9, 'recorded_s': seconds, 'images': number + 1,
            'factor': seconds / took_s, 'rss_mib': {
                'first': held[0], 'tenth': tenth, 'most': max(held), 'last': held[-1]},
            'growth_mib': max(held) - tenth, 'every_percent_mib': [round(x, 1) for x in held]}


def check_disk(folder, needed):
    """End where there is no room; needed: bytes."""
    free = shutil.disk_usage(folder).free
    if free < 1.2 * needed:
        raise SystemExit(f'{folder} has {free} bytes free, {1.2 * needed:.0f} are needed: name '
                         'another place by --folder')


def keep(results, part, found):
    """Write a part of the result, and on what it was measured; other parts stay."""
    about = {'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
             'machine': machine(), 'versions': versions(),
             'load_average': [round(load, 1) for load in os.getloadavg()]}
    content = json.loads(results.read_text()) if results.exists() else {}
    results.write_text(json.dumps({**content, part: {**found, **about}}, indent=1) + '\n')


def main():
    """Run and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    add = parser.add_argument
    add('--seconds', type=float, default=30.0, help='of each recording for the speed, 0: none')
    add('--gigabytes', type=float, default=0.0, help='of the long one for the memory, 0: none')
    add('--folder', default=tempfile.gettempdir(), help='where bags are made')
    add('--results', type=Path, default=RESULTS)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    check_disk(args.folder, max(args.gigabytes * 1e9, args.seconds * 3e7))
    if args.gigabytes:
        with tempfile.TemporaryDirectory(dir=args.folder) as room:
            found = memory(Path(room) / 'bag', args.gigabytes)
            keep(args.results, 'memory', found)
            print('memory', found['rss_mib'], 'growth', round(found['growth_mib'], 1), flush=True)
    for form in FORMS if args.seconds else ():
        with tempfile.TemporaryDirectory(dir=args.folder) as room:
            found = speed(Path(room) / 'bag', form, args.seconds)
            keep(args.results, form, found)
            print(form, {name: round(value, 1) for name, value in found['factor'].items()},
                  flush=True)


if __name__ == '__main__':
    main()
