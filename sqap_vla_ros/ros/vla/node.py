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
import signal
import sys
import threading
import traceback

from rcl_interfaces.msg import SetParametersResult
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from sqap_vla_ros.control.output_modes import check_output, JOINT_OUTPUTS
from sqap_vla_ros.errors import CheckpointError, ConfigError, ObservationError
from sqap_vla_ros.support.processes import leave
from sqap_vla_ros.support.requirements import missing_modules_as
from std_srvs.srv import Trigger

from .diagnostics import Diagnostics, ERROR, OK
from .estop import EmergencyStop
from .figures import Figures
from .inference import Inference
from .inputs import Inputs, polling
from .lockstep import LockstepControl
from .measured import MeasuredArm
from .namesakes import Namesakes
from .observing import camera_shown, observer_of, observer_options
from .outputs import make_drive, make_output
from .overrides import ROS_OWN_PREFIX
from .parameters import (
    asked_for, changed, declare_camera_parameters, declare_parameters, read_parameters)
from .parts import Parts
from .planned import PlannedTrajectory
from .realtime import RealTimeControl
from .results import Results
from .robot_description import urdf_for
from .run_policy import RunPolicy
from .running import spin
from .topics import check_cameras, check_quality
from .transforms import future_s, Transforms
from .transitions import refuse_what_is_not_allowed, state_name
from .worker import Worker
from ..log import NodeLogHandler
from ..start import join_ros
from ...ingest.cameras import camera_seen

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def load_configured_policy(config):
    """Load and warm up the policy that a NodeConfig names; takes seconds, a refusal does not."""
    directory = config.checkpoint_directory
    with missing_modules_as(ConfigError):
        from sqap_vla_ros.policy import declared, load_policy
        checkpoint = declared(directory, config.policy)
        camera_seen(config.cameras, checkpoint.cameras)
        check_output(checkpoint.action_space.kind, config.output)
        policy = load_policy(directory, config.policy)
        policy.warm_up()
    return policy


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
        facts = {
            'precision': policy.precision,
            'tokens': f'{policy.kept_tokens} of {policy.grid[0] * policy.grid[1]}',
            'instructions': '; '.join(policy.instructions), 'action': ' '.join(space.names),
            'action_kind': space.kind, 'action_frame': space.frame,
            'gripper_open': space.gripper_open, 'gripper_closed': space.gripper_closed,
            'row_s': space.dt}
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
        joint_names = {*([config.gripper_joint] if policy.state_names else ()),
                       *drive.joint_names}
        ahead_s = future_s(config.lockstep, self.get_parameter('use_sim_time').value)
        camera = camera_shown(self, config, policy)
        inputs = Inputs(self, config, joint_names, ahead_s, camera)
        transforms = Transforms(self, ahead_s)
        observer = observer_of(config, inputs, transforms, policy, polling)
        results = Results(self, [name for name in config.cameras if name != camera])
        arm = MeasuredArm(
            config, transforms, inputs, drive.needs | space.needs, drive.joint_names)
        self._parts = Parts(
            node=self, steady_clock=self._steady_clock, inputs=inputs, transforms=transforms,
            inference=Inference(self, self._worker, policy, observer, results),
            drive=drive, arm=arm, output=make_output(self, config, space, drive, arm),
            results=results, diagnostics=self._diagnostics,
            planned=PlannedTrajectory(self, config, space, drive, transforms),
            estop=EmergencyStop(self, config.estop_topic, config.estop_timeout), run=self._run,
            namesakes=self._namesakes)
        self._observer = observer
        kind = LockstepControl if config.lockstep else RealTimeControl
        control = kind(config, space, self._parts)
        control.connect()
        results.setup()
        self._parts.planned.setup()
        self._parts.inference.setup(control.on_answer)
        if config.needs_localization or policy.state_names or 'pose' in arm.needs:
            transforms.setup(control)
        if self._fault:
            control.gate.latch(self._fault)
        self._control = self._run.control = control
        self._parts.estop.setup(control)
        inputs.setup(control)
        self._figures = Figures(self._diagnostics, inputs, transforms, control.reports,
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
    """
    Run vla_node; returns 0 after SIGINT, SIGTERM or SIGHUP, 1 if it could not start.

    rclpy's own signal handlers would shut the context down before the last zero command, so
    ours only raise a flag. SIGHUP stays ignored where it was (nohup).
    """
    try:
        join_ros(args)
        node = VlaNode()
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda *_: node.interrupted.set())
        log = NodeLogHandler(node)
        try:
            started = spin(node)
        finally:
            log.close()
            for number in STOP_SIGNALS:  # `ros2 launch` sends a second one
                signal.signal(number, signal.SIG_IGN)
            if rclpy.ok():
                node.take_apart()
            node.destroy_node()
    except (ConfigError, ParameterException) as error:
        print(f'vla_node: {error}', file=sys.stderr)
        return 1
    finally:
        if rclpy.ok():
            rclpy.shutdown()
    if not started:
        print(f'vla_node: {node.problem}', file=sys.stderr)
    return 0 if started else 1


if __name__ == '__main__':
    leave(main())
