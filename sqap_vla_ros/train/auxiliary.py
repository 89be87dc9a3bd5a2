# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Auxiliary targets that teach the encoder to look: where things are in the image.

Behaviour cloning alone needs very many images before it localises anything.  These read-outs
exist while training only and are not part of a checkpoint.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class PointReadout(nn.Module):
    """Find P points among the visual tokens: one heat map and one sub-patch offset each."""

    def __init__(self, width: int, points: int):
        super().__init__()
        self.points = points
        self.read = nn.Linear(width, 3 * points)

    def forward(self, visual, pixels, seen, grid, image_size: int):
        """
        Return the loss and the mean error.

        visual: [B, N, D].  pixels: [B, P, 2] (u, v) of the network's input image.  seen: bool
        [B, P], whether that point is in the image; elsewhere pixels may be no numbers.  The
        error is in pixels of the input image.  Both are 0 where no point is seen.
        """
        pixels, count = torch.where(seen[..., None], pixels, 0), seen.sum().clamp(min=1)
        rows, cols = grid
        cell = torch.tensor([image_size / cols, image_size / rows], device=visual.device)
        out = self.read(visual).float().unflatten(-1, (self.points, 3))  # [B, N, P, 3]
        place = (pixels + 0.5) / cell  # in patches
        at = place.floor().clamp(min=0)
        col, row = at[..., 0].clamp(max=cols - 1).long(), at[..., 1].clamp(max=rows - 1).long()
        index = row * cols + col  # [B, P]
        heat = out[..., 0].transpose(1, 2)  # [B, P, N]
        heat_loss = F.cross_entropy(heat.flatten(0, 1), index.flatten(), reduction='none')
        offset = out[..., 1:].transpose(1, 2)  # [B, P, N, 2], relative to the patch centre
        chosen = offset.gather(2, index[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
        wanted = place - torch.stack([col, row], -1) - 0.5
        offset_loss = (chosen - wanted).abs().sum(-1)
        loss = (heat_loss.view_as(offset_loss) + offset_loss)[seen].sum() / count
        with torch.no_grad():
            best = heat.argmax(-1)  # [B, P]
            centre = torch.stack([best % cols, best // cols], -1) + 0.5
            found = centre + offset.gather(2, best[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
            error = ((found - place) * cell).norm(dim=-1)[seen].sum() / count
        return loss, error


class Auxiliary(nn.Module):
    """Image points from the visual tokens, and 3-D points from the action token."""

    def __init__(self, width: int, points: int, task_points: int):
        """Make the read-outs: of all points in the image, of the first task_points in space."""
        super().__init__()
        self.image_points = PointReadout(width, points)
        self.space_points = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3 * task_points))

    def space_loss(self, summary, xyz):
        """Return the L1 loss (in decimetres) and mean error (m) for xyz [B, P, 3] in metres."""
        found = self.space_points(summary).float().unflatten(-1, (-1, 3))  # [B, task points, 3]
        xyz = xyz[:, :found.shape[1]]
        error = (found - xyz * 10).abs()
        return error.mean(), (found / 10 - xyz).norm(dim=-1).mean().detach()
