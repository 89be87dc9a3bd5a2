# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What vla_node really creates: the node is configured in several ways, and all it makes is kept.

When something is there is told by comparing these ways. What it is for stands in purposes.py; a
name without a purpose is an error, and so is a purpose that nothing has.
"""

from dataclasses import dataclass, field
import time

from purposes import PURPOSES
import rclpy
from rclpy.action import ActionClient, get_action_server_names_and_types_by_node
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sqap_vla_ros.ros import qos
from sqap_vla_ros.ros.vla.node import VlaNode
from sqap_vla_ros.sim.robot_description import robot_description
from stand_in_policy import PairPolicy, StandInPolicy, StatePolicy
from std_msgs.msg import String
from tables import row

NAMESPACE, NAME = '/robot', 'vla_node'
INFRASTRUCTURE = ('rcl_interfaces/', 'type_description_interfaces/')
KINDS = ('sub', 'pub', 'srv', 'client', 'action', 'action client')
GRAPH_S = 10.0


@dataclass(frozen=True)
class Way:
    """One way to configure the node; label: what is special about it, '' for the plainest."""

    label: str = ''
    parameters: dict = field(default_factory=dict)
    policy: type = StandInPolicy


WAYS = (
    Way(),
    Way('tokens are protected', {'keep_tokens': 8}),
    Way('the policy takes a state', {'gripper_joint': 'finger'}, StatePolicy),
    Way('`output: pose`', {'output': 'pose'}),
    Way('`output: joint_trajectory`', {'output': 'joint_trajectory'}),
    Way('`output: joint_position`', {'output': 'joint_position'}),
    Way('a workspace', {'workspace_low': [-1.0, -1.0, 0.0]}),
    Way('`gripper_output: gripper_command`', {'gripper_output': 'gripper_command'}),
    Way('`gripper_output: parallel_gripper_command`',
        {'gripper_output': 'parallel_gripper_command'}),
    Way('`image_transport: compressed`', {'image_transport': 'compressed'}),
    Way('`cameras: [front, wrist]`', {'cameras': ['front', 'wrist'], 'keep_tokens': 8}),
    Way('a policy that sees both', {'cameras': ['front', 'wrist'], 'keep_tokens': 8}, PairPolicy),
    Way('`estop_topic`', {'estop_topic': 'estop_topic'}),
    Way('`servo_node`', {'servo_node': '/servo_node'}),
)


@dataclass(frozen=True, order=True)
class Entity:
    """Something that the node has: its direction, relative name, type and QoS."""

    kind: str
    name: str
    kind_of_message: str
    qos: str = ''


class Recorded(VlaNode):
    """A vla_node that keeps what it creates."""

    def __init__(self, *args, **options):
        self.made = []
        super().__init__(*args, **options)

    def create_publisher(self, kind, topic, qos_profile, **options):
        """Keep and create a publisher."""
        return self._kept('pub', kind, super().create_publisher(
            kind, topic, qos_profile, **options))

    def create_lifecycle_publisher(self, kind, topic, qos_profile, **options):
        """Keep and create a publisher that is silent unless the node is active."""
        return self._kept('pub', kind, super().create_lifecycle_publisher(
            kind, topic, qos_profile, **options))

    def create_subscription(self, kind, topic, callback, qos_profile, **options):
        """Keep and create a subscription."""
        return self._kept('sub', kind, super().create_subscription(
            kind, topic, callback, qos_profile, **options))

    def create_service(self, kind, name, callback, **options):
        """Keep and create a service."""
        return self._kept('srv', kind, super().create_service(kind, name, callback, **options))

    def create_client(self, kind, name, **options):
        """Keep and create a client."""
        return self._kept('client', kind, super().create_client(kind, name, **options))

    def add_waitable(self, waitable):
        """Keep and add an action client; the name of a server is told by the graph alone."""
        if isinstance(waitable, ActionClient):
            self.made.append(('action client', waitable._action_name,
                              type_name(waitable._action_type), None))
        super().add_waitable(waitable)

    def _kept(self, direction, kind, made):
        name = made.topic_name if hasattr(made, 'topic_name') else made.srv_name
        profile = made.qos_profile if direction in ('pub', 'sub') else None
        self.made.append((direction, name, type_name(kind), profile))
        return made


def type_name(kind) -> str:
    """Return the name of a message or service class, such as std_msgs/msg/String."""
    package, part = kind.__module__.split('.')[:2]
    return f'{package}/{part}/{kind.__name__}'


def relative(name: str) -> str:
    """Return a resolved name as the node's code has it: ~/name, name or /name."""
    for start, instead in ((f'{NAMESPACE}/{NAME}/', '~/'), (f'{NAMESPACE}/', '')):
        if name.startswith(start):
            return instead + name[len(start):]
    return name


def qos_text(profile) -> str:
    """Return what of a QoS others have to fit."""
    reliability = 'best effort' if profile.reliability == ReliabilityPolicy.BEST_EFFORT else (
        'reliable')
    latched = ', latched' if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL else ''
    return f'{reliability}{latched}, {profile.depth} deep'


def entities(way: Way) -> set[Entity]:
    """Return what a node that is configured in this way has."""
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        parameters = {'base_frame': 'base', 'end_effector_frames': ['end_effector'],
                      'keep_tokens': 0, **way.parameters}
        robot = Node('robot', context=context, namespace=NAMESPACE)
        describe(robot)
        node = Recorded(way.policy, context=context, namespace=NAMESPACE, parameter_overrides=[
            Parameter(name, value=value) for name, value in parameters.items()])
        node.trigger_configure()
        if node.problem:
            raise RuntimeError(f'{way.label}: {node.problem}')
        found = {Entity(kind, relative(name), text, qos_text(profile) if profile else '')
                 for kind, name, text, profile in node.made if not text.startswith(INFRASTRUCTURE)}
        found |= {Entity('action', relative(name), types[0]) for name, types in servers(node)}
        node.take_apart()
        node.destroy_node()
        robot.destroy_node()
        return found
    finally:
        rclpy.shutdown(context=context)


def servers(node) -> list:
    """Return names and types of the action servers, once the graph has them."""
    end_s = time.monotonic() + GRAPH_S
    while time.monotonic() < end_s:
        if found := get_action_server_names_and_types_by_node(node, NAME, NAMESPACE):
            return found
        time.sleep(0.01)
    raise RuntimeError(f'the graph shows no action server of {NAME} within {GRAPH_S} s')


def describe(robot):
    """Publish the URDF that joint outputs wait for."""
    robot.create_publisher(String, 'robot_description', qos.DESCRIPTION).publish(
        String(data=robot_description()))


def when(entity: Entity, found: list[set[Entity]]) -> str:
    """Return in which of WAYS something is there; found: what each of them has."""
    there = [entity in made for made in found]
    if all(there):
        return ''
    for name, default in DEFAULTS.items():
        values = [way.parameters.get(name, default) for way in WAYS]
        those = dict.fromkeys(value for value, is_there in zip(values, there) if is_there)
        if there == [value in those for value in values]:
            return ' or '.join(f'`{name}: {value}`' for value in those)
    if there == [not {'image_transport', 'cameras'} & set(way.parameters) for way in WAYS]:
        return 'one camera, `image_transport: raw`'
    return ', '.join(way.label for way, is_there in zip(WAYS, there) if is_there and way.label)


DEFAULTS = {'output': 'twist', 'gripper_output': 'topic', 'image_transport': 'raw'}


def interface_tables() -> dict[str, str]:
    """Return the generated parts: topics, services and actions."""
    found = [entities(way) for way in WAYS]
    merged = {}
    for entity in sorted(set().union(*found)):
        key = entity.kind, entity.name, entity.kind_of_message
        merged.setdefault(key, []).append(entity)
    unknown = {name for _, name, _ in merged} ^ set(PURPOSES)
    if unknown:
        raise KeyError(f'purposes.py and what vla_node has differ in: {sorted(unknown)}')
    rows = dict.fromkeys(KINDS, '')
    for (kind, name, type_text), same in merged.items():
        profiles = '; '.join(dict.fromkeys(entity.qos for entity in same))
        cells = [f'`{name}`', f'`{type_text}`', when(same[0], found), PURPOSES[name]]
        if profiles:
            cells.insert(2, profiles)
        rows[kind] += row(*cells)
    topic_head = '| topic | type | QoS | only with | what for |\n|---|---|---|---|---|\n'
    other_head = '| | name | type | only with | what for |\n|---|---|---|---|---|\n'
    others = ''.join(line.replace('| ', f'| {kind} | ', 1) for kind in rows
                     if kind not in ('sub', 'pub') for line in rows[kind].splitlines(True))
    return {'topics that are heard': topic_head + rows['sub'],
            'topics that are published': topic_head + rows['pub'],
            'services and actions': other_head + others}
