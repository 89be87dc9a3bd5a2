# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Random training batches from collected episodes, prepared ahead on a thread."""

from __future__ import annotations

import queue
import threading

import cv2
import numpy as np
import torch

MAX_SHIFT_PX = 2


class Batches:
    """
    An endless, seeded stream of augmented batches.

    data: `shards.Demonstrations`.  token_ids: int64 [I, 1 + L], one row an
    instruction.  Batches hold pixels [B, 3, h, w], state [B, S] normalised (zero where dropped
    out), token_ids, actions [B, T, A] normalised, points_px [B, P, 2], points_seen [B, P],
    points_xyz [B, P, 3].
    """

    def __init__(self, data, rows, token_ids, norm, batch_size: int, seed: int,
                 augment: bool = True, state_dropout: float = 0.3, ahead: int = 3, chances=None):
        """
        Start the preparing thread.

        rows: the indices of `data` to draw from.  chances: [n], of each row; None for equal ones.
        """
        self._data, self._rows, self._token_ids, self._norm = data, rows, token_ids, norm
        self._batch_size, self._augment, self._dropout = batch_size, augment, state_dropout
        self._chances = chances
        self._rng = np.random.default_rng(seed)
        self._queue: queue.Queue = queue.Queue(maxsize=ahead)
        self._thread = threading.Thread(target=self._fill, daemon=True)

    def take(self) -> dict:
        """Return the next batch, prepared ahead on a thread of its own."""
        if not self._thread.ident:
            self._thread.start()
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _fill(self) -> None:
        try:
            while True:
                self._queue.put(self.make(self.draw()))
        except Exception as error:  # handed to the training thread, which raises it
            self._queue.put(error)

    def draw(self) -> np.ndarray:
        """Return the row numbers of a random batch."""
        return self._rng.choice(self._rows, self._batch_size, p=self._chances)

    def make(self, rows) -> dict:
        """Build the batch of the given rows."""
        data, norm = self._data, self._norm
        points = data.points_px[rows].astype(np.float32)
        frames = np.stack([data.frame(row) for row in rows])
        state = (data.state[rows] - norm['state_mean']) / norm['state_std']
        if self._augment:
            for place, shift in enumerate(
                    self._rng.integers(-MAX_SHIFT_PX, MAX_SHIFT_PX + 1, (len(rows), 2))):
                frames[place] = shifted(frames[place], shift)
                points[place] += shift
        pixels = frames.astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
        if self._augment:
            gain = self._rng.uniform(0.85, 1.15, (len(rows), 3, 1, 1)).astype(np.float32)
            bias = self._rng.uniform(-0.1, 0.1, (len(rows), 3, 1, 1)).astype(np.float32)
            pixels = pixels * gain + bias
            state = state + self._rng.normal(0, 0.03, state.shape)
            state[self._rng.random(len(rows)) < self._dropout] = 0
        actions = (data.chunks(rows) - norm['action_low']) / norm['action_range'] * 2 - 1
        height, width = frames.shape[1:3]
        seen = ((points >= 0) & (points < (width, height))).all(-1)
        arrays = {
            'pixels': pixels, 'state': state.astype(np.float32),
            'actions': actions.astype(np.float32), 'points_px': points, 'points_seen': seen,
            'points_xyz': data.points_xyz[rows].astype(np.float32),
            'token_ids': self._token_ids[data.instruction[rows]]}
        return {name: torch.from_numpy(np.ascontiguousarray(value))
                for name, value in arrays.items()}


def shifted(image, shift_px) -> np.ndarray:
    """Move an image by whole pixels (right, down), repeating its edge."""
    matrix = np.array([[1, 0, shift_px[0]], [0, 1, shift_px[1]]], np.float32)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_NEAREST,
                          borderMode=cv2.BORDER_REPLICATE)
