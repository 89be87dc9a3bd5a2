# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the robot was told while it was recorded, in SI units, whatever the messages were.

Names, frames and units are those of the robot's parameters. What cannot be told from them is
left out and said in a note: commands in the wrong unit would make any policy look wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .command_readers import CartesianReader, GripperReader
from .joint_readers import JointReader
from .results import Commands
from ..errors import ObservationError
from ..recordings.recording import shift_at

READERS = {'twist': CartesianReader, 'pose': CartesianReader, 'joints': JointReader,
           'gripper': GripperReader}


@dataclass(frozen=True)
class CommandSettings:
    """
    What is known of the robot; every name is that of a parameter or property of the node.

    arm_joints: names for commands that have none.  twist_unit: what 1 in the linear and angular
    half of a twist is, m/s and rad/s.
    """

    base_frame: str = 'base_link'
    end_effector_frames: tuple = ('tool0',)
    arm_joints: tuple = ()
    gripper_joint: str = ''
    gripper_open_position: float = 0.04
    gripper_closed_position: float = 0.0
    twist_unit: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, config, arm_joints=()) -> CommandSettings:
        """
        Return those of anything that has attributes of these names, such as a NodeConfig.

        arm_joints: those of the policy's actions, where the robot's parameters name none.
        """
        values = {item.name: getattr(config, item.name) for item in fields(cls)}
        return cls(**{**values, 'arm_joints': tuple(values['arm_joints'] or arm_joints)})

    def opening(self, position: float) -> float:
        """Return 0 closed .. 1 open of a position of the gripper's joint [m or rad]."""
        return (position - self.gripper_closed_position) / (
            self.gripper_open_position - self.gripper_closed_position)


def recorded_commands(recording, topics, settings: CommandSettings, start_ns: int | None = None,
                      end_ns: int | None = None) -> tuple[tuple[Commands, ...], tuple[str, ...]]:
    """
    Return the commands of a recording from a time to another, and notes on them.

    topics: a TopicMap, whose commands are read in one pass.  Messages that cannot be read, or
    make no sense, are left out and counted in the notes.
    """
    readers = {topic.name: READERS[role](topic, settings)
               for role, topic in topics.commands.items()}
    if not readers:
        return (), ()
    for message in recording.messages(readers.keys(), start_ns, end_ns):
        reader = readers[message.topic]
        reader.shift_ns = shift_at(recording, message.time_ns)
        try:
            reader.take(message.time_ns, message.read())
        except ObservationError as error:
            reader.refuse(str(error))
    found = [commands for reader in readers.values() for commands in reader.commands()]
    notes = [note for reader in readers.values() for note in reader.notes()]
    return tuple(_one_gripper(found, notes)), tuple(notes)


def _one_gripper(found, notes) -> list[Commands]:
    """Return the commands with those of one gripper alone: of its own topic, if it has one."""
    grippers = [commands for commands in found if commands.kind == 'gripper']
    if len(grippers) < 2:
        return found
    notes.append(f'the gripper was commanded on {grippers[-1].source} and on '
                 f'{grippers[0].source}: the former counts')
    return [commands for commands in found if commands not in grippers[:-1]]
