# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The lifecycle node that drives an arm by a vision-language-action policy.

configure reads the parameters, loads the policy and warms it up, and fails loudly; activate
begins to command; deactivate stops the arm; cleanup frees the memory. The node itself only
puts the parts together: see control.py for what decides.
"""

from concurrent.futures import wait
from functools import partial
import sys
import threading
import traceback

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from sqap_vla_ros.control.drive_choice import make_drive
from sqap_vla_ros.control.output_modes import check_output, JOINT_OUTPUTS
from sqap_vla_ros.errors import CheckpointError, ConfigError, ObservationError
from sqap_vla_ros.support.processes import leave
from std_srvs.srv import Trigger

from .assembly import make_parts
from .diagnostics import Diagnostics, ERROR, OK
from .figures import Figures
from .loading import load_configured_policy, policy_facts
from .lockstep import LockstepControl
from .namesakes import Namesakes
from .observing import observer_options
from .overrides import ROS_OWN_PREFIX
from .parameters import (
    asked_for, changed, declare_camera_parameters, declare_parameters, read_parameters)
from .process import run_process
from .realtime import RealTimeControl
from .robot_description import urdf_for
from .run_policy import RunPolicy
from .topics import check_cameras, check_quality
from .transitions import refuse_what_is_not_allowed, state_name
from .worker import Worker

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE


class VlaNode(LifecycleNode):
    """Images, transforms and an instruction in; twists and a gripper opening out."""

    def __init__(self, policy_factory=load_configured_policy, node_name='vla_node', **options):
        """
        Declare parameters and services; nothing is loaded before configure.

        policy_factory(NodeConfig) -> Policy runs on the inference thread; is_ready, make_ready,
        reset and infer are called there, too.  options: of rclpy's Node.  Raises rclpy's
        ParameterException for a parameter of a wrong type.
        """
        super().__init__(node_name, **options)
        self._arguments = [*sys.argv, *(options.get('cli_args') or ())]
        self.interrupted = threading.Event()
        self.problem = self._bug = ''
        self._policy_factory = policy_factory
        self._config = None
        self._worker = None
        self._control = None
        self._parts = None
        self._figures = None
        self._fault = None  # latched, and kept from one configure to the next
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = Diagnostics(self, self._steady_clock)
        refuse_what_is_not_allowed(self)
        declare_parameters(self)
        declare_camera_parameters(self)
        hardware_id = self.get_parameter('hardware_id').value
        self._diagnostics.hardware_id = hardware_id or self._diagnostics.hardware_id
        self.add_on_set_parameters_callback(self._set_parameters)
        self._namesakes = Namesakes(self)
        self._diagnostics.watch('name', self._namesakes.look)
        self._run = RunPolicy(self, self._diagnostics)
        for name in ('stop', 'resume', 'reset'):
            self.create_service(Trigger, f'~/{name}', partial(self._answer, name))

    def on_configure(self, state):
        """Read parameters, load and warm up the policy, subscribe."""
        return self._transition(self._configure, super().on_configure, state)

    def on_activate(self, state):
        """Begin to command the arm."""
        return self._transition(super().on_activate, lambda _: self._control.start(), state)

    def on_deactivate(self, state):
        """Stop the arm."""
        return self._transition(lambda _: self._control.halt(), super().on_deactivate, state)

    def on_cleanup(self, state):
        """Let go of the policy and of all topics."""
        return self._transition(super().on_cleanup, lambda _: self.take_apart(), state)

    def on_shutdown(self, state):
        """Stop the arm and let go of everything."""
        return self._transition(lambda _: self.take_apart(), super().on_shutdown, state)

    def on_error(self, state):
        """Stop the arm after a bug; the node is unconfigured then."""
        self.take_apart()
        return SUCCESS

    def set_parameters_atomically(self, parameter_list):
        """Set parameters; numbers are taken in either type, and a misspelt name is told."""
        wanted, problem = asked_for(self, parameter_list)
        if problem:
            return SetParametersResult(successful=False, reason=problem)
        return super().set_parameters_atomically(wanted)

    def start(self, meanwhile=lambda: None) -> bool:
        """
        Configure and activate; returns False, with `problem` set, if that failed.

        meanwhile: called in between, to serve what came in while the policy was loading.
        """
        if self.trigger_configure() != SUCCESS:
            return False
        meanwhile()
        return state_name(self) != 'inactive' or self.trigger_activate() == SUCCESS

    def stop_after(self, bug: str):
        """Stop the arm, until ~/resume, after a callback raised; bug: the traceback."""
        if bug != self._bug:
            self.get_logger().error(bug)
        self._bug = bug
        if self._control is not None:
            self._control.stop_after_bug()

    def _transition(self, first, second, state):
        """Run two steps; what a user can mend fails, with the message shown."""
        try:
            for step in (first, second):
                result = step(state)
                if result not in (None, SUCCESS):
                    return result
            return SUCCESS
        except (ConfigError, CheckpointError, ObservationError) as error:  # the last: warm-up
            self.problem = str(error)
            self._diagnostics.report('policy', ERROR, self.problem)
            self.take_apart()
            return FAILURE
        except Exception:  # rclpy would swallow it without a word
            self.problem = traceback.format_exc()
            self.get_logger().error(self.problem)
            raise

    def _configure(self, state):
        config = self._config = read_parameters(self, self._arguments)
        check_cameras(self, config)
        check_quality(self, config)
        worker = self._worker = Worker(lambda text: self._crashed(worker, text))
        policy = self._load(config)
        space = policy.config.action_space
        check_output(space.kind, config.output)
        urdf = urdf_for(self, config, space.kind) if config.output in JOINT_OUTPUTS else None
        self._assemble(config, policy, space, make_drive(config, space, urdf))
        self.problem = ''
        facts = policy_facts(policy)
        self._diagnostics.report(
            'policy', OK, f'{config.checkpoint or "policy"} is loaded', **facts)
        self.get_logger().info(', '.join(f'{name}: {value}' for name, value in facts.items()))

    def _crashed(self, worker, text):
        """Tell of a bug on the inference thread, unless the node was taken apart meanwhile."""
        parts = self._parts
        if worker is self._worker and parts is not None:
            parts.inference.crashed(text)

    def _load(self, config):
        """Return the policy, loaded on the inference thread; an interrupt ends the wait."""
        future = self._worker.call(lambda: self._policy_factory(config))
        while not wait([future], timeout=0.1).done:
            if self.interrupted.is_set():
                raise ConfigError('interrupted while the policy was loading')
        return future.result()

    def _assemble(self, config, policy, space, drive):
        self._parts, self._observer = make_parts(
            self, config, policy, drive, worker=self._worker, steady_clock=self._steady_clock,
            diagnostics=self._diagnostics, run=self._run, namesakes=self._namesakes)
        parts = self._parts
        kind = LockstepControl if config.lockstep else RealTimeControl
        control = kind(config, space, parts)
        control.connect()
        parts.results.setup()
        parts.planned.setup()
        parts.inference.setup(control.on_answer)
        if config.needs_localization or policy.state_names or 'pose' in parts.arm.needs:
            parts.transforms.setup(control)
        if self._fault:
            control.gate.latch(self._fault)
        self._control = self._run.control = control
        parts.estop.setup(control)
        parts.inputs.setup(control)
        self._figures = Figures(self._diagnostics, parts.inputs, parts.transforms, control.reports,
                                self._worker.clock)

    def take_apart(self):
        """Stop the arm, end the thread and leave all topics; may be called at any time."""
        self._stop_parts()
        worker = self._worker
        self._control = self._run.control = self._parts = None
        self._worker = self._observer = self._config = self._figures = None
        # no policy was ever loaded without torch; a thread in the middle of importing that, left
        # behind, would let the import here wait for it
        if worker is not None and worker.has_ended and 'torch' in sys.modules:
            from sqap_vla_ros.inference.device import free_memory
            free_memory()

    def _stop_parts(self):
        if self._figures is not None:
            self._figures.teardown()
        if self._control is not None:
            self._control.halt()
            self._fault = self._control.gate.fault
        if self._worker is not None:
            self._worker.close()
        if self._parts is not None:  # without a control, too, where putting together has failed
            parts = self._parts
            for part in (parts.estop, parts.inputs, parts.transforms, parts.inference,
                         parts.results, parts.planned, parts.output):
                part.teardown()

    def destroy_node(self):
        """Leave the graph at once, with what rclpy would keep until the memory is freed."""
        self._run.destroy()
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _set_parameters(self, parameters):
        # topics declare their qos_overrides when they are made, perhaps by such a change
        is_own = not all(item.name.startswith(ROS_OWN_PREFIX) for item in parameters)
        if self._config is None or not is_own:
            return SetParametersResult(successful=True)
        space = self._control and self._control.space
        self._config, result = changed(self._config, parameters, space)
        if self._control is not None:
            self._control.use(self._config)
            self._observer.use(observer_options(self._config))
        return result

    def _answer(self, name, request, response):
        """Stop, resume or reset, by the service's name."""
        control = self._control
        if control is None and name != 'reset':
            response.message = self._answer_unconfigured(name)
        elif control is not None and (control.is_active or name != 'reset'):
            response.message = getattr(control, name)()
        else:
            response.message = 'the node is not active: nothing moves'
            return response
        fault = self._fault if control is None else (
            control.gate.fault or control.why_not_begin)
        response.success = name != 'resume' or not fault
        return response

    def _answer_unconfigured(self, name) -> str:
        """Keep a stop for later, or clear what is kept."""
        fault = self._fault
        self._fault = (fault or 'stopped by ~/stop') if name == 'stop' else None
        if name == 'stop':
            return f'{self._fault}; call ~/resume to go on'
        return f'cleared: {fault}' if fault else 'there was nothing to clear'


def main(args=None) -> int:
    """Run vla_node; returns 0 after a stop signal, 1 if it could not start."""
    return run_process(VlaNode, args)


if __name__ == '__main__':
    leave(main())
