# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a camera that looks at something, and what can go wrong with them."""
from array import array

import numpy as np

HEIGHT, WIDTH, NOISE = 480, 640, 5
_FRAMES = 7  # noise is added from as many prepared sheets, at random places


class Pictures:
    """Textured pictures [480, 640, 3] uint8 with the noise of a sensor."""

    def __init__(self, seed=0):
        """Draw the texture and the noise."""
        self._random = np.random.default_rng(seed)
        coarse = self._random.integers(40, 200, (12, 16, 3))
        scene = np.kron(coarse, np.ones((40, 40, 1))).astype(np.int16)
        scene += (np.linspace(-30, 30, WIDTH)[None, :, None]).astype(np.int16)
        self._scene = np.clip(scene, 10, 240).astype(np.uint8)
        self._noise = self._random.integers(
            0, 2 * NOISE, (_FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)

    def taken(self):
        """Return the picture of now."""
        noise = self._noise[self._random.integers(_FRAMES)]
        shift = int(self._random.integers(WIDTH))
        return self._scene + np.roll(noise, shift, axis=1)

    def drawn(self, kind):
        """Return a picture of a kind: black, white, grey, noise, dark, dim or upside down."""
        if kind in ('black', 'white', 'grey'):
            level = {'black': 0, 'white': 255, 'grey': 128}[kind]
            return np.full((HEIGHT, WIDTH, 3), level, np.uint8)
        if kind == 'noise':
            return self._random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        if kind == 'dark':  # a lens cap over a sensor that has noise
            return self._random.integers(0, 4, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        if kind == 'covered':  # a hand before the lens: one hue, a little noise
            return (90 + self._random.integers(-2, 3, (HEIGHT, WIDTH, 3))).astype(np.uint8)
        if kind == 'overexposed':
            return np.maximum(self.taken(), 250)
        if kind == 'upside down':
            return np.ascontiguousarray(self.taken()[::-1, ::-1])
        if kind == 'stripes':  # a torn transport: the lower half stays what it was
            picture = self.taken()
            picture[HEIGHT // 2:] = 0
            return picture
        return self.taken()


def as_data(picture):
    """Return the bytes of a picture as messages take them."""
    data = array('B')
    data.frombytes(np.ascontiguousarray(picture).tobytes())
    return data


def encoded(picture, encoding):
    """Return (bytes a pixel, data) of an RGB picture in another encoding."""
    if encoding == 'rgb8':
        return 3, as_data(picture)
    if encoding == 'bgr8':
        return 3, as_data(picture[..., ::-1])
    if encoding in ('rgba8', 'bgra8'):
        alpha = np.full((*picture.shape[:2], 1), 255, np.uint8)
        return 4, as_data(np.concatenate([picture, alpha], axis=2))
    grey = picture.mean(axis=2)
    if encoding in ('mono16', '16UC1'):
        return 2, as_data((grey * 256).astype(np.uint16).view(np.uint8))
    if encoding == '32FC1':
        return 4, as_data(grey.astype(np.float32).view(np.uint8))
    return 1, as_data(grey.astype(np.uint8))
