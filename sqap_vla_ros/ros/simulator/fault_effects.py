# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What can be wrong with a message of a sensor: each effect takes one and returns what is sent.

An effect is a function of (message, value, state): value is the number of the schedule, state a
dictionary of its own that lives as long as the fault; it returns a message, or None for silence.
The message that it was given is never changed.
"""
from array import array
import copy

import numpy as np

from sqap_vla_ros.ros.messages import nanoseconds_of, time_message


def stop(message, value, state):
    """Send nothing."""
    return None


def drop(message, value, state):
    """Lose each message with probability `value`."""
    return None if state['rng'].uniform() < value else message


def slow(message, value, state):
    """Send only one message in `value`."""
    state['count'] = state.get('count', -1) + 1
    return None if state['count'] % max(1, round(value)) else message


def freeze(message, value, state):
    """Send the first message again and again, with new stamps."""
    return _stamped(state.setdefault('first', message), _stamp_ns(message))


def stuck(message, value, state):
    """Send the first message again and again, as it is."""
    return state.setdefault('first', message)


def stale(message, value, state):
    """Stamp it `value` seconds in the past."""
    return _stamped(message, _stamp_ns(message) - round(value * 1e9))


def future(message, value, state):
    """Stamp it `value` seconds in the future."""
    return stale(message, -value, state)


def black(message, value, state):
    """Make all pixels 0."""
    return _with(message, data=array('B', bytes(len(message.data))))


def noise(message, value, state):
    """Change pixels at random, by up to `value` levels either way."""
    pixels = np.frombuffer(message.data, np.uint8).astype(np.int32)
    pixels += state['rng'].integers(-round(value), round(value), pixels.shape, endpoint=True)
    return _with(message, data=array('B', pixels.clip(0, 255).astype(np.uint8).tobytes()))


def mono(message, value, state):
    """Send the picture in shades of grey, encoding mono8."""
    pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
    grey = pixels.mean(axis=2).astype(np.uint8)
    return _with(message, data=array('B', grey.tobytes()), encoding='mono8', step=message.width)


def half(message, value, state):
    """Send half as many rows and columns."""
    pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
    small = np.ascontiguousarray(pixels[::2, ::2])
    return _with(message, data=array('B', small.tobytes()), height=small.shape[0],
                 width=small.shape[1], step=3 * small.shape[1])


def zero(message, value, state):
    """Make K and P of a camera_info zero."""
    return _with(message, k=np.zeros(9), p=np.zeros(12))


def shift(message, value, state):
    """Put the end effector `value` metres further along x."""
    changed = copy.deepcopy(message)
    changed.transforms[0].transform.translation.x += value
    return changed


def jump(message, value, state):
    """Put it `value` metres further along x in every second message."""
    state['odd'] = not state.get('odd', False)
    return shift(message, value, state) if state['odd'] else message


def not_a_number(message, value, state):
    """Make the first number NaN: of the translation, or of the positions."""
    if hasattr(message, 'transforms'):
        return shift(message, float('nan'), state)
    return _with(message, position=[float('nan'), *message.position[1:]])


def infinite(message, value, state):
    """Put the first joint at infinity."""
    return _with(message, position=[float('inf'), *message.position[1:]])


def beyond(message, value, state):
    """Put the first joint `value` rad further on."""
    return _with(message, position=[message.position[0] + value, *message.position[1:]])


# effect: (function, its usual value)
ANY = {'stop': (stop, 0.0), 'drop': (drop, 0.5), 'slow': (slow, 5.0), 'freeze': (freeze, 0.0),
       'stuck': (stuck, 0.0), 'stale': (stale, 5.0), 'future': (future, 5.0)}
EFFECTS = {
    'image': {**ANY, 'black': (black, 0.0), 'noise': (noise, 255.0), 'mono': (mono, 0.0),
              'half': (half, 0.0)},
    'info': {**{name: effect for name, effect in ANY.items() if name != 'freeze'},  # no change
             'zero': (zero, 0.0)},
    'tf': {**ANY, 'shift': (shift, 0.3), 'jump': (jump, 0.3), 'nan': (not_a_number, 0.0)},
    'joints': {**ANY, 'nan': (not_a_number, 0.0), 'inf': (infinite, 0.0), 'beyond': (beyond, 4.0)},
}
EFFECTS['wrist'] = EFFECTS['image']  # of the camera on the hand


def _stamp_ns(message) -> int:
    holder = message.transforms[0] if hasattr(message, 'transforms') else message
    return nanoseconds_of(holder.header.stamp)


def _stamped(message, stamp_ns: int):
    """Return a message with another stamp."""
    if hasattr(message, 'transforms'):
        changed = copy.deepcopy(message)
        changed.transforms[0].header.stamp = time_message(max(stamp_ns, 0))
        return changed
    header = copy.copy(message.header)
    header.stamp = time_message(max(stamp_ns, 0))
    return _with(message, header=header)


def _with(message, **fields):
    """Return a message with other fields; large ones that stay are shared."""
    changed = copy.copy(message)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
