# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Several robots in one graph: in namespaces nothing crosses, and with one name nothing moves."""
from contextlib import closing

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_harness import KnownPolicy, PARAMETERS, Robot, speed, spinner, World
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros import qos
from sqap_vla_ros.ros.vla.config import NodeConfig
from sqap_vla_ros.ros.vla.node import VlaNode
from sqap_vla_ros.ros.vla.topics import check_quality, COMMANDS
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage


class Pair(World):
    """Two robots and their nodes in one graph; the second of each is in `others`."""

    def __init__(self, first: dict, second: dict, **parameters):
        """Make them with options of rclpy's Node."""
        super().__init__(parameters=parameters, node_options=first,
                         robot_options={key: first[key] for key in first if key == 'namespace'})
        self.other_robot = Robot(self.context, **{
            key: second[key] for key in second if key == 'namespace'})
        self.other = VlaNode(KnownPolicy, context=self.context, parameter_overrides=[
            Parameter(name, value=value) for name, value in {**PARAMETERS, **parameters}.items()],
            **second)
        for node in (self.other, self.other_robot):
            self.nodes.append(node)
            self.executors.append(spinner(node, self.context))

    def close(self):
        """Stop everything."""
        self.other.take_apart()
        super().close()


def test_two_robots_in_namespaces_share_a_graph_and_nothing_else():
    with closing(Pair({'namespace': 'left'}, {'namespace': 'right'}, hardware_id='')) as world:
        left, right = world.robot, world.other_robot
        assert world.node.start() and world.other.start()
        left.say()
        world.until(world.is_moving, meanwhile=lambda: (left.look(), right.look()),
                    period_s=0.03)
        world.until(lambda: len(right.diagnostics) > 10 and right.image.get_subscription_count(),
                    meanwhile=left.look)
        assert not any(map(speed, right.twists)) and not right.chunks
        assert world.node.count_publishers('/left/delta_twist_cmds') == 1
        assert {status.hardware_id for name, status in left.diagnostics.items()
                if name.startswith('left/vla_node: ')} == {'/left/vla_node'}
        assert {name.partition(':')[0] for name in left.diagnostics} == {
            'left/vla_node', 'right/vla_node'}
        world.until(lambda: 'moving' in left.diagnostics['left/vla_node: commands'].message
                    and 'no instruction: publish one on /right/instruction' in
                    left.diagnostics['right/vla_node: commands'].message, meanwhile=left.look)
        stop = right.create_client(Trigger, 'vla_node/stop')
        world.until(stop.service_is_ready, meanwhile=left.look)
        answer = stop.call_async(Trigger.Request())
        world.until(answer.done, meanwhile=left.look, period_s=0.03)
        assert world.other._control.gate.fault and not world.node._control.gate.fault
        names = [name for node in (world.node, world.other) for name, _ in
                 node.get_service_names_and_types_by_node(node.get_name(), node.get_namespace())]
        assert len(names) == len(set(names))
        world.node.set_parameters([Parameter('speed_scale', value=0.5)])
        assert world.other._config.speed_scale == 1.0


def test_two_nodes_of_one_name_say_so_and_do_not_move_until_one_has_gone(make_world):
    world = make_world(KnownPolicy, {'hardware_id': 'arm 7'})
    namesake, cousin = (Node('vla_node', context=world.context, **options)
                        for options in ({}, {'namespace': 'left'}))
    world.start()
    world.robot.say()
    world.until(lambda: world.says('name', '2 nodes are named /vla_node'),
                meanwhile=world.robot.look, period_s=0.03)
    assert '-r __ns:=/left' in world.robot.said('name')[1]
    assert world.robot.diagnostics['vla_node: name'].hardware_id == 'arm 7'
    world.stays_still(meanwhile=world.robot.look)
    assert '2 nodes are named /vla_node' in world.node._control.reports.said[1]
    for refusal in (world.node._control.resume(), world.node._control.why_no_goal('go')):
        assert '2 nodes are named /vla_node' in refusal
    answer = world.node._answer('resume', None, Trigger.Response())
    assert not answer.success and 'nothing begins' in answer.message
    namesake.destroy_node()
    world.until(world.is_moving, meanwhile=world.robot.look, period_s=0.03)
    world.until(lambda: world.says('name', 'the only one of its name'))
    cousin.destroy_node()


@pytest.mark.parametrize('given, message', [
    ({'/imag.subscription.reliability': 'reliable'}, 'of this node: did you mean /image?'),
    ({'/image.subscription.reliabilty': 'reliable'}, 'of /image it is reliability'),
    ({'/image.subscription.reliability': 'Reliable'}, "'Reliable', expected one of reliable"),
    ({'/image.subscription.depth': 10}, 'of /image it is reliability'),
    ({'/vla_node/overlai.publisher.depth': 2}, 'did you mean /vla_node/overlay?'),
    ({'image.subscription.reliability': 'reliable'}, 'names no policy of a topic: the form is'),
    ({'/tf.subscription.depth': 10}, 'is 10, expected 100 to 10000 messages'),
    ({'/tf.subscription.depth': True}, 'is True, expected 100 to'),
    ({'/joint_states.subscription.durability': 'volatile'}, 'it is reliability, depth'),
    ({'/delta_twist_cmds.publisher.reliability': 'best_effort'}, 'be changed: commands are'),
    ({'/gripper_command.publisher.depth': 5}, 'cannot be changed: commands are'),
    ({'/instruction.subscription.reliability': 'best_effort'}, 'must not be lost'),
    ({'/vla_node/overlay.publisher.depth': 0}, 'is 0, expected 1 to')])
def test_quality_that_reaches_nothing_or_may_not_be_is_refused(given, message):
    with pytest.raises(ConfigError, match='qos_overrides.') as caught:
        check_quality(Named(given), NodeConfig())
    assert message in str(caught.value)


def test_the_overlay_of_the_camera_that_the_policy_sees_has_no_name():
    given = {f'/vla_node/{name}/overlay.publisher.depth': 1 for name in ('front', 'wrist')}
    config = NodeConfig(cameras=('front', 'wrist'))
    check_quality(Named(given), config)  # it is not known yet which that is
    for camera in config.cameras:
        with pytest.raises(ConfigError, match=f'/vla_node/{camera}/overlay.*for no topic'):
            check_quality(Named(given), config, (camera,))
    with pytest.raises(ConfigError, match='/vla_node/front/overlay.*did you mean /vla_node/over'):
        check_quality(Named({'/vla_node/front/overlay.publisher.depth': 1}),
                      NodeConfig(cameras=('front',)))


def test_an_estop_of_any_name_keeps_its_quality_and_others_topics_are_theirs():
    given = {'/stop.subscription.reliability': 'best_effort'}
    check_quality(Named(given), NodeConfig())
    with pytest.raises(ConfigError, match='must not be lost'):
        check_quality(Named(given), NodeConfig(estop_topic='stop'))
    given = {'/image/compressed.subscription.reliability': 'reliable'}
    check_quality(Named(given), NodeConfig(image_transport='compressed'))


@pytest.mark.parametrize('given', [
    {'/tf.publisher.depth': 50}, {'/image.publisher.reliability': 'reliable'},
    {'/delta_twist_cmds.subscription.depth': 1},  # the other ends, in a file for all nodes
    {'/arm1/image.subscription.reliability': 'reliable'}, {'/tf2.subscription.depth': 5},
    {'/arm_a/joint_states.subscription.depth': 500},  # other robots, in such a file, too
    {'/image.subscription_left.depth': 5}, {'/chatter.publisher_my_talker.depth': 5}])
def test_quality_of_other_nodes_ends_is_theirs(given):
    check_quality(Named(given, {'image': '/arm2/image', 'joint_states': '/arm_b/joint_states'}),
                  NodeConfig())


def test_quality_under_a_topics_name_before_remapping_is_refused_with_the_other_name():
    mapped = {'image': '/camera/image_raw', '/tf': '/left/tf'}
    for topic, other in (('/image', '/camera/image_raw'), ('/tf', '/left/tf')):
        name = '.subscription.reliability'
        with pytest.raises(ConfigError, match=f'{topic} is remapped to {other}: write that'):
            check_quality(Named({topic + name: 'reliable'}, mapped), NodeConfig())
        check_quality(Named({other + name: 'reliable'}, mapped), NodeConfig())
        check_quality(Named({f'{topic}.publisher.depth': 3}, mapped), NodeConfig())


class Named:
    """What a node /vla_node shows of its names and of what it was given."""

    def __init__(self, given, mapped=None):
        self._mapped = mapped or {}
        self._parameter_overrides = {
            f'qos_overrides.{name}': Parameter(name, value=value)
            for name, value in given.items()}

    def resolve_topic_name(self, name, only_expand=False):
        if name in self._mapped and not only_expand:
            return self._mapped[name]
        return name.replace('~', '/vla_node') if name[0] in '~/' else f'/{name}'


def test_quality_that_users_ask_for_is_that_of_the_topics_twice_in_a_row(make_world):
    world = make_world(KnownPolicy, {f'qos_overrides.{name}': value for name, value in {
        '/image.subscription.reliability': 'reliable', '/tf.subscription.depth': 500,
        '/tf.subscription.reliability': 'reliable',
        '/camera_info.subscription.reliability': 'reliable',
        '/vla_node/overlay.publisher.reliability': 'best_effort',
        '/vla_node/action_chunk.publisher.durability': 'transient_local',
        '/scan.subscription.depth': 3}.items()})

    def quality(topic):
        find = (world.node.get_publishers_info_by_topic if 'vla_node' in topic
                else world.node.get_subscriptions_info_by_topic)
        found = [info.qos_profile for info in find(topic) if info.node_name == 'vla_node']
        return {(item.reliability.name, item.durability.name) for item in found}
    for _ in range(2):
        assert world.node.start(), world.node.problem
        assert set(world.node._parts.output.command_topics) <= {f'/{name}' for name in COMMANDS}
        world.until(lambda: quality('/image') and quality('/vla_node/overlay'))
        assert quality('/image') == {('RELIABLE', 'VOLATILE')}
        assert quality('/camera_info') == {
            ('RELIABLE', 'VOLATILE'), ('RELIABLE', 'TRANSIENT_LOCAL')}
        assert quality('/vla_node/overlay') == {('BEST_EFFORT', 'VOLATILE')}
        assert quality('/vla_node/action_chunk') == {('RELIABLE', 'TRANSIENT_LOCAL')}
        assert quality('/vla_node/token_selection') == {('RELIABLE', 'VOLATILE')}
        assert world.node._parts.transforms._moving._depth == 500
        unheard = world.robot.create_publisher(TFMessage, '/tf', qos.SENSOR)
        problems = world.node._control.topic_problems
        for topic in ('/camera_info', '/tf'):
            world.until(lambda: '(robot) is best effort' in (problems.get(topic) or ''))
        world.robot.destroy_publisher(unheard)
        world.until(lambda: not problems['/tf'])
        world.node.trigger_deactivate()
        world.node.trigger_cleanup()
    assert qos.SENSOR.reliability.name == 'BEST_EFFORT' and qos.TF_POLLED.depth == 1000
