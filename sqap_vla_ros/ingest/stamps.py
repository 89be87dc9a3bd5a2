# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Times of messages, and how to tell what is wrong with them."""

FUTURE_S = 0.1  # how far a sender's clock may be ahead of ours
OTHER_CLOCK_S = 3600.0  # no connection is that slow: the stamps are of another clock
SIMULATED_FUTURE_S = 0.5  # /clock may come more rarely, and later, than the TF of its time
UNITS_S = (('years', 365.25 * 86400), ('days', 86400.0), ('hours', 3600.0))


def stamp_ns(message) -> int:
    """Return a stamped message's time in nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def future_s(lockstep: bool, use_sim_time: bool) -> float | None:
    """Return how far TF may be ahead of the node's clock; None for any: lockstep's is exact."""
    return None if lockstep else SIMULATED_FUTURE_S if use_sim_time else FUTURE_S


def duration_text(seconds: float) -> str:
    """Return a duration in words: '0.200 s', or whole hours, days or years from two hours on."""
    for name, length_s in UNITS_S:
        if abs(seconds) >= 2 * length_s:
            return f'{int(abs(seconds) / length_s)} {name}'
    return f'{abs(seconds):.3f} s'


def why_stamp_is_off(stamp_ns: int, now_ns: int, limit_s: float, topic: str) -> str:
    """
    Return what is wrong with the newest image's stamp and what to do, '' if nothing is.

    now_ns: the node's clock; limit_s: how old an image may be (image_timeout).
    """
    age_s = (now_ns - stamp_ns) * 1e-9
    if -FUTURE_S <= age_s <= limit_s:
        return ''
    if now_ns == 0:
        return ("the node's clock stands at 0: with use_sim_time true it comes from /clock, on "
                'which nothing has come in')
    if stamp_ns == 0:
        return (f'the images on {topic} have no stamp: let the camera driver fill header.stamp '
                'with the time at which they were taken')
    told = duration_text(age_s)
    if abs(age_s) > OTHER_CLOCK_S:
        when = f'are {told} old' if age_s > 0 else f'are stamped {told} in the future'
        return (f'images on {topic} {when}: the camera stamps by another clock (time since boot, '
                'or simulated time: check use_sim_time of both)')
    if age_s < 0:
        return (f'images on {topic} are stamped {told} in the future (limit: {FUTURE_S:g} s): '
                'synchronize the clocks, or check use_sim_time')
    return (f'images on {topic} are {told} old when they come in (limit: image_timeout, '
            f'{limit_s:g} s): synchronize the clocks, or use a faster connection')
