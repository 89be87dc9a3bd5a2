# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Nothing unsafe passes the gate, and a judge who was never shown a bad gate is no judge."""
import json

import pytest

from sqap_vla_ros.bench.safety.trials import try_gate, try_many
from sqap_vla_ros.cli import main
from sqap_vla_ros.control import limits, safety_gate
from sqap_vla_ros.control.bounds import _Bounds, JointRange, Workspace
from sqap_vla_ros.control.limits import CommandLimits, JointLimits
from sqap_vla_ros.control.safety_gate import SafetyGate
from sqap_vla_ros.control.shaping import ball, scaled, Shaper

SEED, SCENARIOS = 12, 50
_LIMITS = SafetyGate.limits


def test_nothing_unsafe_passes_and_nothing_sane_is_refused():
    tally = try_many(try_gate, SEED, SCENARIOS)
    assert tally.unsafe == []
    counts = tally.counts
    assert counts['inputs'] == 10_000 and counts['moving'] > 4000 and counts['faults'] > 500
    assert counts['twists'] > 3000 and counts['joints'] > 2000


def jump(shaper, wanted, way, dt_s):
    shaper.velocity = wanted


def brake_half(shaper, dt_s):
    shaper.velocity = scaled(shaper.velocity, max(0.0, 1 - 0.5 * dt_s / max(
        shaper.stop_time_s(shaper.velocity), 1e-9)))
    return shaper.velocity


def blind(bounds, measured, reference, velocity, now_ns):
    return None


def unlatched(gate, reason):
    gate.rest()


def forgetful(gate):
    gate._last_ns = None


def real_time(gate, now_ns, period_ns):
    last_ns, gate._last_ns = gate._last_ns, now_ns
    return period_ns * 1e-9 if last_ns is None else max(0, now_ns - last_ns) * 1e-9


def a_period(gate, now_ns, period_ns):
    return period_ns * 1e-9


def joint_by_joint(vector, size):
    return [x / max(1.0, size([x if i == j else 0.0 for j in range(len(vector))]))
            for i, x in enumerate(vector)]


FAULTS = {
    'limits are a hundredth higher': [(limits, 'ball', lambda limit: ball(1.01 * limit))],
    'acceleration is free': [(Shaper, '_without_jerk', jump)],
    'jerk is free': [(Shaper, '_with_jerk', Shaper._without_jerk)],
    'an acceleration is kept too long': [(Shaper, '_has_way_out', lambda *_: True)],
    'braking takes twice as long': [(Shaper, 'brake', brake_half)],
    'each joint is shortened alone': [('sqap_vla_ros.control.shaping.within', joint_by_joint)],
    'nothing is cut at the bounds': [(_Bounds, 'cut', lambda self, velocity, reach_s: velocity)],
    'nothing is braked before the bounds': [
        (SafetyGate, '_eased', lambda self, velocity, shaper, period_s: velocity)],
    'the braking way is forgotten': [
        (SafetyGate, '_eased',
         lambda self, velocity, shaper, period_s: self._bounds.cut(velocity, period_s))],
    'the last cut is left out': [(SafetyGate, '_keep_in', lambda *_: None)],
    'an unknown place is where it was': [
        (Workspace, 'look', blind), (JointRange, 'look', blind)],
    'NaN passes': [(SafetyGate, '_nonsense', lambda *_: None)],
    'absurd speeds pass': [
        (kind, 'absurd', lambda *_: None) for kind in (CommandLimits, JointLimits)],
    'the first target may be anywhere': [(SafetyGate, '_why_far', lambda *_: None)],
    'faults are not latched': [(SafetyGate, 'latch', unlatched)],
    'shortened commands are not counted': [(SafetyGate, '_trips', lambda *_: False)],
    'a stopped arm is taken to move on': [(SafetyGate, 'rest', forgetful)],
    'a late tick may change all the more': [(SafetyGate, '_passed_s', real_time)],
    'an early tick may change as much': [(SafetyGate, '_passed_s', a_period)],
    'silence is no reason to begin at rest': [(safety_gate, 'SILENT_PERIODS', 1e9)],
    'the speed scale is ignored': [
        (SafetyGate, 'speed_scale', property(lambda gate: 1.0, lambda gate, scale: None))],
    'new limits are ignored': [(SafetyGate, 'limits', property(
        _LIMITS.fget,
        lambda gate, limits: gate._shapers or _LIMITS.fset(gate, limits)))]}


FOUND_AT = {  # the scenario to begin with, to save time
    'an acceleration is kept too long': 112,
    'braking takes twice as long': 18,
    'each joint is shortened alone': 14,
    'the braking way is forgotten': 22,
    'the last cut is left out': 213,
    'an unknown place is where it was': 16,
    'NaN passes': 14,
    'the first target may be anywhere': 24,
    'shortened commands are not counted': 38}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_gate_with_a_fault_is_found_out(monkeypatch, fault):
    for place, *change in FAULTS[fault]:
        monkeypatch.setattr(place, *change)
    first = FOUND_AT.get(fault, 1)
    assert any(try_gate(SEED, index).counts['unsafe'] for index in range(first, first + 300))


def test_the_command_writes_a_report_and_a_picture(tmp_path, capsys):
    pytest.importorskip('matplotlib')
    report, picture = tmp_path / 'safety.json', tmp_path / 'safety.png'
    assert main(['bench', 'safety', '--inputs', '400', '--processes', '1', '--out', str(report),
                 '--png', str(picture)]) == 0
    assert '0 unsafe commands' in capsys.readouterr().out
    gate = json.loads(report.read_text())['gate']
    assert gate['counts']['inputs'] == 400 and gate['unsafe'] == []
    assert sum(gate['share_of_limit']['speed']) > 0
    assert picture.read_bytes().startswith(b'\x89PNG')


def test_the_command_fails_when_something_unsafe_passes(monkeypatch, capsys):
    monkeypatch.setattr(Shaper, '_without_jerk', jump)
    assert main(['bench', 'safety', '--inputs', '1000', '--processes', '1']) == 1
    assert 'at the acceleration limit' in capsys.readouterr().out
