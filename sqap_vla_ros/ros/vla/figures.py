# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How the node is doing, in numbers, once a second in /diagnostics; docs/diagnostics.md lists them.

Each part counts as it goes along, which costs next to nothing; rates and percentiles are only
computed here. Nothing of it decides about motion.
"""

from functools import partial
import sys
import threading
import time

from sqap_vla_ros.support.memory import status_bytes
from sqap_vla_ros.support.timing import Rate, Recent, thread_clock

from .diagnostics import OK, WARN

BUSY = 0.7  # share of a core that the executor thread takes, above which commands may come late
READING = 0.2  # that joint_states and /tf take
MIB = 2**20


class Answers:
    """
    What became of the images that were asked about: times by stage, and tokens.

    refused: how many had no chunk.  unprotected: how many came with warnings.
    """

    def __init__(self):
        """Begin without an answer."""
        self._stages, self._answered = {}, Rate()
        self.refused = self.unprotected = 0
        self._last = None

    def add(self, answer, stages_ms: dict):
        """Note an answer that has a chunk; stages_ms: how long each of its stages took."""
        self._answered.add(time.monotonic())
        for stage, value_ms in stages_ms.items():
            self._stages.setdefault(stage, Recent()).add(value_ms)
        self.unprotected += bool(answer.warnings)
        self._last = answer

    def times(self) -> dict:
        """Return the rate, the counts, and the median and 95th percentile of each stage."""
        found = {'answered_hz': self._answered.hz(time.monotonic()),
                 'answers': self._answered.total, 'without_answer': self.refused}
        for stage, times_ms in self._stages.items():
            found[f'{stage}_ms_p50'], found[f'{stage}_ms_p95'] = times_ms.percentiles(50, 95)
        return found

    def tokens(self):
        """Return the status `tokens`, None before the first selection."""
        answer = self._last
        if answer is None or answer.chunk.selection is None:
            return None
        selection, protected = answer.chunk.selection, answer.observation.protected
        kept = [len(selection.of_image(image).kept) for image in range(selection.images)]
        values = {'kept': sum(kept), 'of': selection.total, **selection.counts(),
                  'protected_frames': ' '.join(protected.names) or 'none',
                  'largest_radius_px': float(max(protected.radii_px, default=0.0)),
                  'answers_with_warnings': self.unprotected}
        if selection.images > 1:
            values['kept_by_camera'] = ' '.join(map(str, kept))
        return OK, f'keeps {sum(kept)} of {selection.total}', values


class Figures:
    """Statuses camera, transforms, inference, tokens and process of a node that is configured."""

    def __init__(self, diagnostics, inputs, transforms, reports, inference_clock):
        """Watch from now on; to be made on the executor thread.  inference_clock: its clock."""
        self._diagnostics, self._inputs, self._transforms = diagnostics, inputs, transforms
        self._reports = reports
        self._clocks = {'executor': thread_clock(), 'inference': inference_clock}
        self._looked = None
        self._looks = {**{f'camera {name}'.strip(): partial(self.camera, camera)
                          for name, camera in inputs.cameras.items()},
                       'transforms': self.transforms,
                       'inference': self.inference, 'tokens': reports.answers.tokens,
                       'process': self.process}
        for name, look in self._looks.items():
            diagnostics.watch(name, look)

    def teardown(self):
        """Watch no more."""
        self._diagnostics.forget(self._looks)

    def camera(self, camera):
        """Return how the images of one of the CameraInputs come in."""
        facts, topic = camera.delivery.facts(time.monotonic()), camera.image_topic
        if not facts['images']:
            return WARN, f'no image has come in on {topic}', facts
        if not facts['arrived']:
            return WARN, f'no images come in on {topic} any more', facts
        return OK, f'{facts["heard_hz"]:.1f} images a second on {topic}', facts

    def transforms(self):
        """Return how TF comes in, and what was not found; None where none is needed."""
        if not self._transforms.is_read:
            return None
        facts = self._transforms.lookups.facts(time.monotonic())
        return OK, f'{facts["messages_hz"]:.1f} messages a second', facts

    def inference(self):
        """Return the times of what is said of inference already; None before the first image."""
        said = self._reports.answered
        return said and (*said, self._reports.answers.times())

    def process(self):
        """Return memory and processor time; warn where the executor thread has no time left."""
        shares = self._shares()
        reading = {'reading_tf': self._transforms.reading.share(),
                   'reading_joint_states': self._inputs.joint_stream.reading.share()}
        values = {'rss_mib': status_bytes('VmRSS') / MIB, 'own_mib': status_bytes('RssAnon') / MIB,
                  **_device_memory(), 'threads': threading.active_count(), **shares,
                  **{f'{name}_cores': share for name, share in reading.items()},
                  'joint_states_hz': self._inputs.joint_stream.rate.hz(time.monotonic())}
        if shares.get('executor_cores', 0.0) > BUSY:
            return WARN, (f'the executor thread takes {shares["executor_cores"]:.0%} of a core: '
                          'commands may come late. Relieve this machine, or send less'), values
        if sum(reading.values()) > READING:
            return WARN, (f'reading joint_states and /tf takes {sum(reading.values()):.0%} of a '
                          'core: publish them at a lower rate, or fewer joints and frames'), values
        return OK, f'{values["rss_mib"]:.0f} MiB', values

    def _shares(self) -> dict:
        """Return the shares of a core since the last look: of the process, and of two threads."""
        now = {'process': time.process_time(), **_spent(self._clocks)}
        now_s, before, self._looked = time.monotonic(), self._looked, (time.monotonic(), now)
        if before is None:
            return {}
        passed_s = max(1e-9, now_s - before[0])
        return {f'{name}_cores': (spent_s - before[1][name]) / passed_s
                for name, spent_s in now.items() if name in before[1]}


def _spent(clocks: dict) -> dict:
    """Return the processor time of threads, s; none of one that has ended."""
    found = {}
    for name, clock in clocks.items():
        try:
            found[name] = time.clock_gettime(clock)
        except OSError:
            continue
    return found


def _device_memory() -> dict:
    """Return what PyTorch holds on a GPU, where it is in use."""
    torch = sys.modules.get('torch')
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {'gpu_mib': torch.cuda.memory_reserved() / MIB}
