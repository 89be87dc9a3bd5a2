# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator node over real DDS, with a scripted policy; the benchmark itself at the end."""
import copy
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image

from sim_doubles import PointEnv, right, SPEED, twist_message
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.simulator import node as module
from sqap_vla_ros.ros.simulator.episodes import plan_episodes
from sqap_vla_ros.ros.simulator.pacing import PolicyTimeout
from sqap_vla_ros.ros.simulator.parameters import SimSettings

STOVE, CABINET = 'put the bowl on the stove', 'put the bowl on top of the cabinet'


def stamp_ns(stamp):
    return stamp.sec * 10**9 + stamp.nanosec


def pose_of(transform):
    """Return 4x4 by SciPy from a geometry_msgs Transform."""
    turn, shift = transform.rotation, transform.translation
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
    pose[:3, 3] = [shift.x, shift.y, shift.z]
    return pose


def test_instructions_take_turns_and_a_control_changes_no_scene():
    plain = plan_episodes((STOVE, CABINET), '', 'none', 3, 6)
    other = plan_episodes((STOVE, CABINET), '', 'other-instruction', 3, 6)
    assert [episode.goal for episode in plain] == [STOVE, CABINET, STOVE]
    assert [(episode.seed, episode.goal) for episode in plain] == [
        (episode.seed, episode.goal) for episode in other]
    assert all(a.instruction == a.goal != b.instruction for a, b in zip(plain, other))


@pytest.mark.parametrize('arguments', [
    ((STOVE, CABINET), 'fly', 'none'), ((STOVE,), '', 'other-instruction')])
def test_an_impossible_plan_is_refused(arguments):
    with pytest.raises(ConfigError):
        plan_episodes(*arguments, 2, 0)


@pytest.mark.parametrize('values, text', [
    ({'control': 'tokens'}, "parameter control is 'tokens': use one of"),
    ({'camera_pose': (0.0,) * 3}, 'camera_pose has 3 numbers'),
    ({'policy_node': 'a b'}, "policy_node is 'a b', expected a ROS name"),
    ({'gripper_action': '1', 'lockstep': False, 'gripper_interface': 'gripper_command'},
     "gripper_action is '1', expected a ROS name"),
    ({'suite': ''}, 'parameter suite of libero_sim_node must not be empty'),
    ({'instructions': ()}, 'parameter instructions of libero_sim_node must not be empty')])
def test_settings_without_sense_are_refused(values, text):
    with pytest.raises(ConfigError, match=text):
        SimSettings(**values)


def test_an_episode_succeeds_by_the_environments_own_predicate(simulator, policy):
    double, node = policy(), simulator(max_steps=40)
    record, = node.run()
    assert record.success and record.phase == 'finished'
    assert record.steps == len(node.env.executed) < 40
    assert record.duration_s == pytest.approx(record.steps * 0.05)
    assert double.resets == 1
    reports = [json.loads(message.data)
               for message in double.wait_for('/libero_sim/episode', 2)]
    assert [report['phase'] for report in reports] == ['started', 'finished']
    assert reports[-1] == json.loads(record.to_json())


def test_the_first_image_waits_for_those_who_shall_see_it(simulator, policy):
    double, node = policy(), simulator(max_steps=5, image_listeners=2)
    spin, late, images = node.spin, [], []

    def spin_and_join(timeout_s):
        if not late:
            late.append(rclpy.create_node('late', context=node.context))
            late[0].create_subscription(Image, 'image', images.append, 10)
        spin(timeout_s)
    node.spin = spin_and_join
    node.run()
    executor, give_up_at = SingleThreadedExecutor(context=node.context), time.monotonic() + 60
    executor.add_node(late[0])
    while len(images) < 2 and time.monotonic() < give_up_at:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    late[0].destroy_node()
    assert [image.header.stamp for image in images] == [
        image.header.stamp for image in double.messages['image']] != []


def test_listeners_that_never_come_are_told_and_not_waited_for(simulator, policy, monkeypatch):
    policy()
    node, told = simulator(max_steps=2, image_listeners=5, policy_timeout_s=0.6), []
    monkeypatch.setattr(node.get_logger(), 'warning', told.append)
    record, = node.run()
    assert record.steps == 2
    assert '1 of 5 image_listeners subscribe to /image after 1 s' in told[0]


def test_who_listens_to_the_hands_camera_alone_is_waited_for_there(simulator):
    node = simulator(wrist_camera='robot0_eye_in_hand')
    assert node._sensors.image.topic_name == '/image'
    node.create_subscription(Image, 'wrist/image', print, 10)
    give_up_at = time.monotonic() + 60
    while node._sensors.image.topic_name != '/wrist/image' and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert node._sensors.image.topic_name == '/wrist/image'


def test_a_tick_carries_one_stamp_and_the_poses_of_the_environment(simulator, policy):
    double, node = policy(), simulator(max_steps=9)
    node.run()
    clocks = [stamp_ns(message.clock) for message in double.messages['/clock']]
    assert np.diff(clocks).tolist() == [50_000_000] * 8
    assert clocks[0] % 200_000_000 == 0, 'an episode starts with an image'
    images = [stamp_ns(message.header.stamp) for message in double.messages['image']]
    assert images == clocks[::4]
    assert [stamp_ns(m.header.stamp) for m in double.messages['camera_info']] == images
    assert [stamp_ns(m.header.stamp) for m in double.messages['joint_states']] == clocks
    moved = double.messages['/tf'][0].transforms[0]
    assert (moved.header.frame_id, moved.child_frame_id) == ('base', 'end_effector')
    start = PointEnv(node.settings)
    start.reset(0, STOVE)
    np.testing.assert_allclose(pose_of(moved.transform), start.end_effector_pose(), atol=1e-12)
    fixed = double.messages['/tf_static'][0].transforms[0]
    assert (fixed.header.frame_id, fixed.child_frame_id) == ('base', 'agentview_optical_frame')
    np.testing.assert_allclose(pose_of(fixed.transform), start.camera_pose(), atol=1e-12)
    assert double.messages['image'][0].header.frame_id == 'agentview_optical_frame'
    info = double.messages['camera_info'][0]
    assert info.distortion_model == 'plumb_bob' and not any(info.d)
    np.testing.assert_array_equal(np.reshape(info.k, (3, 3)), start.camera_intrinsics())
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, :3], start.camera_intrinsics())
    assert (info.width, info.height) == (32, 32)


def until(condition, timeout_s=60.0):
    """Wait for what another thread does."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def stamps(messages):
    """Return their stamps in order; a tick may be sent again."""
    return sorted({stamp_ns(message.header.stamp) for message in messages})


def test_a_camera_on_the_hand_shows_the_same_ticks_and_goes_before_the_main_one(
        simulator, policy):
    double, node = policy(), simulator(
        max_steps=9, wrist_camera='robot0_eye_in_hand', faults=['wrist_stop@0.3'])
    pictures = {'wrist/image': [], 'wrist/camera_info': []}
    for topic, kind in (('wrist/image', Image), ('wrist/camera_info', CameraInfo)):
        double.node.create_subscription(kind, topic, pictures[topic].append, 10)
    wrist, order, send = node._sensors._wrist, [], node._sensors.send
    until(lambda: wrist.image.get_subscription_count() and wrist._info.get_subscription_count())
    node._sensors.send = lambda pairs: (order.append([pair[0].topic for pair in pairs]),
                                        send(pairs))
    node.run()
    sent = [topic.lstrip('/') for topic in order[0]]
    assert sent.index('wrist/image') < sent.index('image')
    images, infos = pictures['wrist/image'], pictures['wrist/camera_info']
    both = stamps(double.messages['image'])
    until(lambda: stamps(infos) == both)
    assert len(both) == 3 and stamps(images) == both[:2], 'its image alone stops'
    start = PointEnv(node.settings)
    start.reset(0, STOVE)
    np.testing.assert_array_equal(
        np.reshape(images[0].data, (32, 32, 3)), start.render_wrist())
    np.testing.assert_array_equal(np.reshape(infos[0].k, (3, 3)), start.wrist_intrinsics())
    frame = 'robot0_eye_in_hand_optical_frame'
    assert images[0].header.frame_id == infos[0].header.frame_id == frame
    static = {(each.header.frame_id, each.child_frame_id): pose_of(each.transform)
              for each in double.messages['/tf_static'][0].transforms}
    np.testing.assert_allclose(
        start.end_effector_pose() @ static['end_effector', frame], start.wrist_pose(), atol=1e-12)
    np.testing.assert_allclose(static['world', 'base'], start.base_in_world(), atol=1e-12)
    assert ('end_effector', 'libero_hand') in static


def test_a_gripper_command_counts_for_the_twist_that_follows_it(simulator, policy):
    double, node = policy(gripper=lambda count: 0.5 * (count % 2)), simulator(max_steps=8)
    record, = node.run()
    assert (record.success, record.steps) == (False, 8)
    assert [gripper for _, gripper in node.env.executed] == [0.0, 0.5] * 4
    first, *_, last = double.messages['joint_states']  # as a Panda publishes its fingers
    assert last.name[0] == 'panda_joint1' and last.name[7] == 'panda_finger_joint1'
    assert (first.position[7], last.position[7]) == (0.04, 0.0)


def test_a_first_twist_without_its_gripper_command_is_asked_for_again(simulator, policy):
    double = policy(gripper=lambda count: 0.25)
    connected = double.gripper
    double.gripper = type('Unconnected', (), {'publish': lambda self, message: None})()

    def connect(message):
        double.gripper = connected
    node = simulator(max_steps=3, repeat_s=0.3)
    double.hooks['/clock'] = connect
    record, = node.run()
    assert record.repeated_ticks == 1
    assert [gripper for _, gripper in node.env.executed] == [0.25] * 3


def test_a_node_that_never_sends_gripper_commands_is_not_waited_for_again(simulator, policy):
    double = policy(lambda stamp, count, image: twist_message(stamp))
    double.gripper = type('Silent', (), {'publish': lambda self, message: None})()
    record, = simulator(max_steps=5, repeat_s=0.05).run()
    assert record.steps == 5 and record.repeated_ticks == 3


def test_two_lockstep_runs_of_one_seed_are_identical(simulator, policy):
    def answer(stamp, count, image):
        noise = np.random.default_rng(list(bytes(image.data[:9]))).uniform(-1, 1, 3)
        return twist_message(stamp, (SPEED / 2, 0, 0) + 0.1 * noise)

    def run():
        double = policy(answer)
        node = simulator(episodes=3, seed=5, max_steps=60)
        records = node.run()
        double.close()
        return [(r.seed, r.success, r.steps) for r in records], np.array(
            [twist for twist, _ in node.env.executed])
    (counts, twists), (again, twists_again) = run(), run()
    assert counts == again and counts[0][2] > 1
    np.testing.assert_array_equal(twists, twists_again)


def test_an_unanswered_tick_is_repeated_to_the_bit(simulator, policy):
    double = policy(lambda stamp, count, image: right(stamp, count, image) if count else None)
    record, = simulator(max_steps=2, repeat_s=0.1).run()
    assert record.repeated_ticks == 1 and record.steps == 2
    for topic in ('image', 'camera_info', '/tf', 'joint_states', '/clock'):
        first, second = double.messages[topic][:2]
        assert first == second, topic


@pytest.mark.parametrize('reason, spoil', [
    ('non_finite', lambda message: setattr(message.twist.linear, 'y', float('nan'))),
    ('wrong_frame', lambda message: setattr(message.header, 'frame_id', 'tool0')),
    ('wrong_stamp', lambda message: setattr(message.header.stamp, 'sec', 99)),
    ('late', lambda message: setattr(message.header.stamp, 'sec', 0))])
def test_a_bad_command_is_refused_counted_and_not_executed(simulator, policy, reason, spoil):
    def answer(stamp, count, image):
        message = copy.deepcopy(right(stamp, count, image))
        if count == 0:
            spoil(message)
        return message
    policy(answer)
    node = simulator(max_steps=3, repeat_s=0.1)
    record, = node.run()
    assert record.refused[reason] == 1 and record.steps == 3
    assert all(np.isfinite(twist).all() for twist, _ in node.env.executed)


def test_a_gripper_command_that_is_not_finite_keeps_the_last_one(simulator, policy):
    policy(gripper=lambda count: float('nan') if count else 0.25)
    node = simulator(max_steps=2)
    record, = node.run()
    assert record.refused == {'non_finite': 1}
    assert [gripper for _, gripper in node.env.executed] == [0.25, 0.25]


def test_without_a_policy_node_the_run_ends_in_a_clear_error(simulator):
    with pytest.raises(PolicyTimeout, match='vla_node/reset gave no answer'):
        simulator(policy_timeout_s=0.5).run()


def test_a_policy_node_that_falls_silent_ends_the_run(simulator, policy):
    policy(lambda stamp, count, image: right(stamp, count, image) if count < 2 else None)
    with pytest.raises(PolicyTimeout, match='no delta_twist_cmds'):
        simulator(repeat_s=0.1, policy_timeout_s=3.0).run()


def test_the_blank_image_control_sends_black_images_only(simulator, policy):
    double = policy()
    simulator(max_steps=5, control='blank-image').run()
    assert len(double.messages['image']) == 2
    assert not any(any(message.data) for message in double.messages['image'])
    assert any(double.wait_for('/libero_sim/final_image')[0].data)


def test_the_other_instruction_is_told_and_the_goal_is_judged(simulator, policy):
    double, node = policy(), simulator(
        max_steps=5, control='other-instruction', instruction=STOVE)
    record, = node.run()
    assert (record.goal, record.instruction, node.env.goal) == (STOVE, CABINET, STOVE)
    assert {message.data for message in double.wait_for('instruction')} == {CABINET}


def test_in_real_time_physics_does_not_wait_for_commands(simulator, policy):
    policy(lambda stamp, count, image: None)
    record, = simulator(lockstep=False, max_steps=10).run()
    assert record.idle_steps == record.steps == 10
    assert record.wall_s >= 0.4 and 0 < record.real_time_factor < 1.25


def test_in_real_time_a_twist_is_in_force_until_it_is_too_old(simulator, policy):
    double = policy()
    node = simulator(lockstep=False, max_steps=30, command_max_age_s=0.15)

    def command(message):
        if len(double.messages['/tf']) <= 8:
            double.twists.publish(
                twist_message(double.node.get_clock().now().to_msg(), (0.01, 0, 0)))
    double.hooks['/tf'] = command
    record, = node.run()
    moving = [twist[0] > 0 for twist, _ in node.env.executed]
    assert 4 <= sum(moving) <= 14
    assert not any(moving[-5:]), 'a command of long ago is not executed'
    assert record.idle_steps == moving.count(False)


def test_in_real_time_a_twist_from_long_ago_or_of_the_future_is_refused(simulator, policy):
    double, node = policy(), simulator(lockstep=False, max_steps=10)

    def send(message):
        now = double.node.get_clock().now().to_msg()
        now.sec += 5 if len(double.messages['/tf']) % 2 else -5
        double.twists.publish(twist_message(now, (SPEED, 0, 0)))
    double.hooks['/tf'] = send
    record, = node.run()
    assert record.idle_steps == 10
    assert record.refused['late'] and record.refused['wrong_stamp']


def test_slow_rendering_is_reported_and_made_up_for(simulator, policy):
    class SlowEnv(PointEnv):

        def render(self):
            time.sleep(0.12)
            return super().render()
    policy(lambda stamp, count, image: None)
    record, = simulator(SlowEnv, lockstep=False, max_steps=16).run()
    assert record.render_ms > 110 and record.late_steps and record.worst_delay_ms > 50
    assert 0.3 < record.real_time_factor < 1.2  # 1.0 on an idle machine; never a burst


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_cleanly(ros_process_environment, number):
    script = ('import sys; from sim_doubles import PointEnv\n'
              'from sqap_vla_ros.ros.simulator.node import main\n'
              'class Env(PointEnv):\n'
              '    def render(self): print("ready", flush=True); return super().render()\n'
              '    def close(self): print("closed", flush=True)\n'
              'sys.exit(main([], Env))')
    process = subprocess.Popen(
        [sys.executable, '-c', script], env=ros_process_environment,
        cwd=os.path.dirname(os.path.dirname(__file__)), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'ready\n'
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, 'closed\n')
    assert not [line for line in err.splitlines() if not line.startswith('[INFO]')]


def test_a_parameter_out_of_range_is_an_error_message_and_no_traceback(ros_process_environment):
    done = subprocess.run(
        [sys.executable, '-m', 'sqap_vla_ros.ros.simulator.node', '--ros-args',
         '-p', 'episodes:=0'], env=ros_process_environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'episodes' in done.stderr and 'Traceback' not in done.stderr


def test_the_published_end_effector_projects_onto_the_rendered_gripper(simulator, policy):
    pytest.importorskip('libero', reason='needs the simulator: pip install .[sim]')
    double = policy(lambda stamp, count, image: twist_message(stamp, (0, 0, -0.05)),
                    gripper=lambda count: 0.0)  # closed: the end effector is inside the hand
    node = simulator(module.make_libero_env, max_steps=17, image_width=224, image_height=224)
    node.run()
    image = double.messages['image'][-1]
    moved = next(message for message in double.messages['/tf']
                 if message.transforms[0].header.stamp == image.header.stamp)
    camera = np.linalg.inv(pose_of(double.messages['/tf_static'][0].transforms[0].transform))
    intrinsics = np.reshape(double.messages['camera_info'][-1].k, (3, 3))
    pixel = cv2.projectPoints(
        pose_of(moved.transforms[0].transform)[:3, 3], cv2.Rodrigues(camera[:3, :3])[0],
        camera[:3, 3], intrinsics, None)[0].ravel()
    fingers = np.isin(node.env.segment(), node.env.geom_ids('gripper0_'))
    rows, cols = np.nonzero(fingers)  # one step after the image: 0.6 px further down
    assert np.hypot(cols - pixel[0], rows - pixel[1]).min() <= 2
