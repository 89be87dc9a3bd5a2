# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of the camera and of camera_info."""
from array import array
import time

import numpy as np

from .faults import fault, GO_ON, REPORT
from .policy import INSTRUCTION
from .processes import start_camera
from .robot import camera_info, Robot

PICTURES = {
    'black': 'black', 'white': 'white', 'grey': 'grey', 'lens cap, with noise': 'dark',
    'a hand before the lens': 'covered', 'overexposed': 'overexposed', 'noise': 'noise',
    'upside down': 'upside down', 'lower half black': 'stripes'}
ENCODINGS = {'mono8': 'mono8', 'bgr8': 'bgr8', 'rgba8': 'rgba8', '16UC1': '16UC1',
             '32FC1': '32FC1', 'an unknown encoding': 'yuv9'}


def setting(name, wanted_of, **values):
    """Register a fault that is an attribute of the robot."""
    @fault(name, 'camera', **wanted_of)
    def run(rig):
        before = {key: getattr(rig.robot, key) for key in values}
        for key, value in values.items():
            setattr(rig.robot, key, value)
        yield
        for key, value in before.items():
            setattr(rig.robot, key, value)


def hooked(name, topic, change, **options):
    """Register a fault that changes each message of a topic."""
    @fault(name, 'camera' if topic == 'image' else 'camera_info', **options)
    def run(rig):
        rig.robot.hooks[topic] = change
        yield
        del rig.robot.hooks[topic]


def offset(name, topic, seconds, group, **options):
    """Register a fault that shifts stamps."""
    @fault(name, group, **options)
    def run(rig):
        rig.robot.offsets_s[topic] = seconds
        yield
        del rig.robot.offsets_s[topic]


def silent(name, topic, group, **options):
    """Register a fault that sends nothing on a topic any more."""
    @fault(name, group, **options)
    def run(rig):
        rig.robot.sends.discard(topic)
        yield
        rig.robot.sends.add(topic)


def changed(**values):
    """Return a hook that sets fields of a message."""
    def change(message):
        for key, value in values.items():
            setattr(message, key, value)
        return message
    return change


silent('camera stops', 'image', 'camera')
setting('camera repeats one picture and its stamp', {}, picture_kind='frozen', restamped=False)
setting('camera repeats one picture, new stamps', {'watch_s': 4.0}, picture_kind='frozen')
for _name, _kind in PICTURES.items():
    setting(f'picture: {_name}', {'watch_s': 4.0}, picture_kind=_kind)
for _name, _kind in ENCODINGS.items():
    setting(f'encoding becomes {_name}', {}, encoding=_kind)
setting('half the size', {}, scale=2)
setting('3 images a second', {'wanted': REPORT}, divide=10)
setting('1 image a second', {'wanted': REPORT, 'watch_s': 4.0}, divide=30)
offset('image 5 s old', 'image', -5.0, 'camera')
offset('image 5 s ahead', 'image', 5.0, 'camera')
hooked('image without a stamp', 'image', lambda m: _stamped(m, 0))
hooked('image of another frame', 'image', lambda m: _framed(m, 'other_camera'))
hooked('image without a frame', 'image', lambda m: _framed(m, ''), wanted=REPORT)
hooked('image with half its bytes', 'image', lambda m: _cut(m))
hooked('image without bytes', 'image', changed(data=array('B')))
hooked('image of 0 x 0', 'image', changed(height=0, width=0, step=0, data=array('B')))
hooked('image says 60000 x 60000', 'image', changed(height=60000, width=60000, step=180000))
hooked('image with a step of 7', 'image', changed(step=7))


def _stamped(message, stamp_ns):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def _framed(message, frame):
    message.header.frame_id = frame
    return message


def _cut(message):
    message.data = message.data[:len(message.data) // 2]
    return message


@fault('two pictures in turns, new stamps', 'camera', watch_s=4.0)
def two_pictures(rig):
    """Let a driver with two buffers hang."""
    kept = []

    def change(message):
        if len(kept) < 2:
            kept.append(message.data)
        message.data = kept[rig.robot._count // 2 % len(kept)]
        return message
    rig.robot.hooks['image'] = change
    yield
    del rig.robot.hooks['image']


@fault('frozen but for a clock in the corner', 'camera', watch_s=4.0)
def frozen_but_a_clock(rig):
    """Let everything stand still but a few pixels that the camera writes in."""
    def change(message):
        corner = np.random.default_rng(rig.robot._count).integers(0, 256, (12, 240), np.uint8)
        for row in range(12):
            start = message.step * row
            message.data[start:start + 240] = array('B', corner[row].tobytes())
        return message
    rig.robot.picture_kind, rig.robot.hooks['image'] = 'frozen', change
    yield
    rig.robot.picture_kind = 'real'
    del rig.robot.hooks['image']


@fault('one broken image in 30', 'camera', wanted=REPORT)
def one_in_thirty(rig):
    """Let single images be cut."""
    rig.robot.hooks['image'] = lambda m: _cut(m) if rig.robot._count % 60 < 2 else m
    yield
    del rig.robot.hooks['image']


NAN, INF = float('nan'), float('inf')
K = {'K zero': [0.0] * 9, 'K NaN': [NAN] * 9, 'focal length negative': (-500.0, 319.5, 239.5),
     'focal length infinite': (INF, 319.5, 239.5), 'focal length 5 px': (5.0, 319.5, 239.5),
     'focal length 50000 px': (5e4, 319.5, 239.5), 'centre 5000 px aside': (500.0, 5e3, 239.5)}
for _name, _k in K.items():
    if len(_k) == 3:
        _f, _u, _v = _k
        _k = [_f, 0.0, _u, 0.0, _f, _v, 0.0, 0.0, 1.0]
    hooked(_name, 'info', changed(k=_k))
hooked('distortion NaN', 'info', changed(d=[NAN] * 5))
hooked('distortion huge', 'info', changed(d=[1e6] * 5), wanted=REPORT)
hooked('distortion model unknown', 'info', changed(distortion_model='fish'), wanted=REPORT)
hooked('camera_info of 1920 x 800', 'info', changed(width=1920, height=800))
hooked('camera_info of another frame', 'info', lambda m: _framed(m, 'other_camera'))
silent('camera_info stops', 'info', 'camera_info', watch_s=5.0,
       parameters={'camera_info_max_age': 1.5})


@fault('camera_info came once', 'camera_info', wanted=GO_ON, watch_s=4.0, fresh=True,
       moving=False, starts=False, parameters={'camera_info_max_age': 1.5})
def info_once(rig):
    """Let a volatile publisher tell its calibration once, when the node is there."""
    rig.robot.sends.discard('info')
    rig.have_node({'camera_info_max_age': 1.5})
    time.sleep(0.5)
    rig.robot.info.publish(camera_info(rig.robot.now_ns()))
    rig.have_motion()
    yield
    rig.robot.sends.add('info')


@fault('a second camera on the topic', 'camera')
def second_camera(rig):
    """Start another driver beside."""
    camera = start_camera()
    # the node may have heard of it a little earlier
    yield _when(lambda: rig.robot.node.count_publishers('image') > 1) - 0.3
    camera.terminate()
    camera.wait()


@fault('camera driver killed', 'camera', watch_s=4.0, recovers=False)
def killed(rig):
    """Kill a driver, and start it again: how long until the arm moves, or may be resumed."""
    with_camera(rig, restart=True)
    yield rig.killed_s
    camera, start_s = start_camera(), time.monotonic()
    moved_ms = rig.moves_within(25.0)
    rig.note(restarted='moves by itself' if moved_ms else 'stands', restarted_ms=moved_ms,
             restarted_said=rig.said(start_s, time.monotonic())[-3:])
    if not moved_ms:
        start_s = time.monotonic()
        rig.note(resume=rig.call('resume'), resumed_ms=rig.moves_within(5.0))
    camera.kill()
    camera.wait()
    own_camera(rig)


def with_camera(rig, profile=True, restart=False):
    """Let a process of its own be the camera, in place of the robot; kill it if asked to."""
    robot = rig.robot
    robot.sends -= {'image', 'info'}
    time.sleep(0.1)
    robot.node.destroy_publisher(robot.image)
    robot.node.destroy_publisher(robot.info)
    camera = start_camera(profile)
    if restart:
        time.sleep(3.0)
        rig.have_motion()
        camera.kill()
        rig.killed_s = time.monotonic()
        camera.wait()
    return camera


def own_camera(rig):
    """Let the robot have its camera back."""
    rig.close()
    rig.robot = Robot()


@fault('camera driver without the Fast DDS profile', 'camera', wanted=REPORT, moving=False,
       watch_s=8.0, recovers=False)
def without_profile(rig):
    """Let a driver publish in pieces of UDP, as it does without the profile."""
    camera = with_camera(rig, profile=False)
    time.sleep(4.0)
    rig.robot.say(INSTRUCTION)
    images, start_s = int(rig.robot.values.get('images', 0)), time.monotonic()
    yield start_s
    images = int(rig.robot.values.get('images', 0)) - images
    rig.note(images_per_s=images / (time.monotonic() - start_s), last_said=rig.last_said())
    camera.kill()
    camera.wait()
    own_camera(rig)


def _when(condition, timeout_s=10.0):
    end_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.005)
    return time.monotonic()
