# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""URDFs that must not move an arm are refused, each with what was found and what to do."""
from arms import joint, planar, six_joints, urdf
import pytest
from sqap_vla_ros.control.kinematics import Kinematics
from sqap_vla_ros.control.urdf import chain_between, read_joints
from sqap_vla_ros.errors import ConfigError

ENDS = ('base_link', 'tool0')
ONE = planar([0.4])
FINGER = '<mimic joint="joint1" multiplier="-1" offset="0.1"/>'


def arm_of(*joints):
    return urdf([*joints, joint('flange', (0.1, 0, 0), (0, 0, 1), 'fixed')])


def kinematics(text, *names, ends=ENDS):
    pytest.importorskip('pinocchio', reason='pip install pin, or apt install ros-*-pinocchio')
    return Kinematics.from_urdf(text, *ends, names)


@pytest.mark.parametrize('text, message', [
    ('', 'is empty: is robot_state_publisher running'),
    ('  \n', 'is empty'),
    (None, 'is empty'),
    ('<robot name="a"><link name="b">', 'is broken XML: no element found: line 1'),
    ('not xml', 'is broken XML'),
    ('<robot>\udcff</robot>', 'is broken XML'),
    ('<sdf version="1.7"/>', 'begins with <sdf>, expected <robot>'),
    ('<robot name="a"><link name="b"/></robot>', 'has no joints'),
    ('<!DOCTYPE x [<!ENTITY a "b">]><robot>&a;</robot>', 'DOCTYPE or entities'),
    ('<robot xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:arm/></robot>', 'run `xacro'),
    (ONE.replace('0.4', '${length}'), 'is a xacro file that was not expanded'),
    (ONE.replace('xyz="0.4 0.0 0.0"', 'xyz="0.4 0.0"'), "'0.4 0.0' where three numbers"),
    (ONE.replace('0.4', 'nan'), "'nan' where a number is expected"),
    (ONE.replace('"revolute"', '"ball"'), "joint 'joint1' .* is of type 'ball', expected"),
    (ONE.replace('<parent link="base_link"/>', ''), "'joint1' has no <parent link"),
    (ONE.replace('velocity="2.0"', 'velocity="fast"'), "'joint1' has 'fast' where a number"),
    (ONE.replace('<axis xyz="0.0 0.0 1.0"/>', '<axis xyz="0 0 0"/>', 1), 'axis .*a direction'),
    (ONE.replace('name="flange"', 'name="joint1"'), "two joints of the name 'joint1'")])
def test_a_text_that_is_no_urdf_is_refused(text, message):
    with pytest.raises(ConfigError, match=f'robot_description or parameter urdf_file.* {message}'):
        read_joints(text)


def test_a_text_of_absurd_length_is_refused_before_it_is_read():
    with pytest.raises(ConfigError, match='has 33554433 characters, more than'):
        read_joints(' ' * (32 * 2 ** 20) + 'x')


@pytest.mark.parametrize('text, ends, message', [
    (ONE, ('base', 'tool0'), "no link 'base' .did you mean 'base_link'.*parameter base_frame"),
    (ONE, ('base_link', 'tool'), "no link 'tool' .did you mean 'tool0'.*end_effector_frames"),
    (ONE, ('tool0', 'base_link'), 'base_frame itself is moved by joint1'),
    (ONE, ('base_link', 'base_link'), 'no joint in it can be commanded'),
    (urdf([joint('a', (0, 0, 0), (0, 0, 1), parent='base_link', child='x'),
           joint('b', (0, 0, 0), (0, 0, 1), parent='y', child='tool0')]), ENDS, 'by no joints'),
    (urdf([joint('a', (0, 0, 0), (0, 0, 1), parent='base_link', child='tool0'),
           joint('b', (0, 0, 0), (0, 0, 1), parent='tool0', child='base_link')]), ENDS, 'circle'),
    (urdf([joint('a', (0, 0, 0), (0, 0, 1), parent='base_link', child='tool0'),
           joint('b', (0, 0, 0), (0, 0, 1), parent='x', child='tool0')]), ENDS,
     "link 'tool0' hangs from several joints"),
    (arm_of(joint('free', (0, 0, 0), (0, 0, 1), 'floating')), ENDS, "joint 'free' is floating"),
    (arm_of(joint('slide', (0, 0, 0), (0, 0, 1), 'planar')), ENDS, "joint 'slide' is planar"),
    (arm_of(joint('a', (0, 0, 0), (0, 0, 1), limits=None)), ENDS,
     "revolute joint 'a' no <limit>: expected lower < upper; .*continuous"),
    (arm_of(joint('a', (0, 0, 0), (0, 0, 1), limits=(1.0, 1.0))), ENDS, "'a' the limits 1..1"),
    (arm_of(joint('a', (0, 0, 0), (0, 0, 1), limits=(1.0, -1.0))), ENDS, "'a' the limits 1..-1"),
    (arm_of(joint('a', (0, 0, 0), (0, 0, 1), speed=-2.0)), ENDS, "'a' the velocity limit -2"),
    (arm_of(joint('a', (0, 0, 0), (0, 0, 1), more='<mimic joint="b"/>')), ENDS,
     'no joint in it can be commanded'),
    (arm_of(joint('joint1', (0, 0, 0), (0, 0, 1)),
            joint('a', (0, 0, 0), (0, 0, 1), more='<mimic joint="gone"/>')), ENDS,
     "'a' mimics 'gone', which does not exist"),
    (arm_of(joint('joint1', (0, 0, 0), (0, 0, 1)),
            joint('a', (0, 0, 0), (0, 0, 1), more='<mimic joint="b"/>'),
            joint('b', (0, 0, 0), (0, 0, 1), more='<mimic joint="a"/>')), ENDS,
     "'b' mimics 'a', which mimics it in turn")])
def test_a_chain_that_cannot_be_driven_is_refused(text, ends, message):
    with pytest.raises(ConfigError, match=message):
        kinematics(text, ends=ends)


@pytest.mark.parametrize('names, message', [
    (['joint_1'], "arm_joints has 'joint_1' .did you mean 'joint1'"),
    (['joint1', 'joint1'], 'arm_joints has a joint twice'),
    (['finger'], "'finger' mimics 'joint1' and cannot be commanded"),
    (['flange'], "arm_joints has 'flange'")])
def test_joints_that_cannot_be_commanded_are_named(names, message):
    text = arm_of(joint('joint1', (0, 0, 0), (0, 0, 1)),
                  joint('finger', (0, 0, 0), (0, 0, 1), more=FINGER))
    with pytest.raises(ConfigError, match=message):
        kinematics(text, *names)


def test_other_branches_may_lack_what_the_arm_needs():
    others = [joint('wheel', (0, 0, 0), (0, 1, 0), 'continuous', None, parent='base_link',
                    child='wheel_link'),
              joint('loose', (0, 0, 0), (0, 0, 1), 'floating', None, parent='base_link',
                    child='ball'),
              joint('finger', (0, 0, 0), (0, 0, 1), limits=None, more=FINGER, parent='tool0',
                    child='finger_link')]
    arm = kinematics(six_joints(*others))
    assert arm.names == tuple(f'joint{number}' for number in range(1, 7))


def test_the_narrower_of_hard_and_soft_limits_holds():
    soft = '<safety_controller soft_lower_limit="{}" soft_upper_limit="{}" k_velocity="1"/>'
    for ends, expected in (((-1.5, 9), (-1.5, 3.0)), ((0, 0), (-3.0, 3.0))):
        text = arm_of(joint('a', (0, 0, 0), (0, 0, 1), more=soft.format(*ends)))
        found = read_joints(text)['a']
        assert (found.lower, found.upper) == expected


def test_the_chain_runs_from_the_base_to_the_end():
    chain = chain_between(read_joints(six_joints()), '/base_link', '/tool0')
    assert [item.name for item in chain.down] == [*(f'joint{n}' for n in range(1, 7)), 'flange']
    assert chain.root == 'base_link' and not chain.up
