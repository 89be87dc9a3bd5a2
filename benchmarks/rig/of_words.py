# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of the instruction."""
import time

from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from .faults import fault, REPORT
from .policy import INSTRUCTION, INSTRUCTIONS

WORDS = {
    'instruction empty': '', 'instruction of blanks': ' \t\n ',
    'instruction unknown': 'make coffee', 'known words in another order':
        'on the stove put the bowl', 'a known instruction and more': INSTRUCTION + ' now',
    'half an instruction': 'put the bowl', 'an instruction twice':
        f'{INSTRUCTION} {INSTRUCTION}',
    'control characters': 'put the\x07 bowl\x1b[2J on the stove',
    'a zero byte': 'put the bowl\x00 on the stove',
    'letters that look alike': 'put the b\u043ewl on the stove'}


def told(name, text, **options):
    """Register a fault that is an instruction."""
    @fault(name, 'instruction', **options)
    def run(rig):
        start_s = time.monotonic()
        rig.robot.say(text)
        yield start_s
        rig.robot.say(INSTRUCTION)


for _name, _text in WORDS.items():
    told(_name, _text)
told('upper case and a full stop', 'PUT THE BOWL ON THE STOVE.', wanted=REPORT)
told('instruction of 1 MB', 'put the bowl ' * 80660, watch_s=4.0)
told('instruction of 10 MB', 'put the bowl ' * 806600, watch_s=6.0)


@fault('~/stop behind an instruction of 1 MB', 'instruction', recovers=False)
def stop_behind(rig):
    """Call ~/stop at once behind a long instruction."""
    rig.robot.say('put the bowl ' * 80660)
    start_s = time.monotonic()
    rig.note(answer=rig.call('stop', 10.0), answer_ms=(time.monotonic() - start_s) * 1e3)
    yield start_s


def repeated(name, texts, period_s, count, **options):
    """Register a fault that publishes instructions in turns."""
    @fault(name, 'instruction', **options)
    def run(rig):
        start_s = time.monotonic()
        for number in range(count):
            rig.robot.say(texts[number % len(texts)])
            time.sleep(period_s)
        yield start_s
        rig.robot.say(INSTRUCTION)


repeated('the same instruction every 10 ms', [INSTRUCTION], 0.01, 200, wanted=REPORT)
repeated('two instructions in turns every 10 ms', INSTRUCTIONS, 0.01, 200, wanted=REPORT)
repeated('1 MB every 50 ms', ['x' * 10**6], 0.05, 40, watch_s=5.0)


@fault('an instruction of incompatible QoS', 'instruction', wanted=REPORT)
def best_effort(rig):
    """Publish one that is never received: the old one stays in force."""
    profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = rig.robot.publisher(String, 'instruction', profile)
    time.sleep(0.5)
    start_s = time.monotonic()
    publisher.publish(String(data='make coffee'))
    yield start_s - 0.5
    rig.robot.node.destroy_publisher(publisher)
