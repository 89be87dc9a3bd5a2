# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether frames of the robot are where a camera sees them: `sqap-vla check-camera`.

Exit status: 0 measured and fine, 1 bad input or nothing to judge by, 2 judged and wrong.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import sys

from ..errors import ConfigError, ObservationError
from ..support.progress import Progress


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla check-camera`."""
    _add_scene(parser)
    _add_source(parser.add_argument_group('where the images come from'))
    _add_evidence(parser.add_argument_group(
        'what is known of what the camera sees (without any, only geometry is judged)'))


def _add_scene(parser):
    add = parser.add_argument
    add('--config', action='append', default=[], metavar='FILE.yaml',
        help="the node's parameters: frames, camera, rectified; a file or the name of a shipped "
        'one; given again, later files are laid over earlier ones, as gazebo over my_arm.yaml')
    add('--node', default='vla_node', metavar='NAME', help='whose section of --config it is')
    add('--camera', default='', metavar='NAME', help='one of the parameter cameras')
    add('--base-frame', metavar='FRAME', help="overrules --config (or the node's default)")
    add('--camera-frame', metavar='FRAME', help='overrules --config')
    add('--frames', nargs='+', metavar='FRAME',
        help="frames of the robot to draw; the first is the tool's; overrules --config")
    add('--rectified', action='store_true', default=None,
        help='the image is rectified; overrules --config')
    add('--checkpoint', metavar='NAME_OR_DIR', help='a bundled model or a checkpoint directory, '
        'whose patches are drawn; else 16 x 16 of the whole image')
    add('--out', type=Path, default=Path('camera_check'), metavar='DIR',
        help='directory for picture.png, report.html and calibration.yaml')


def _add_source(group):
    add = group.add_argument
    add('--image', metavar='TOPIC', help='image topic; the node remaps `image` to it')
    add('--camera-info', metavar='TOPIC', help='its camera_info; else the one beside the image')
    add('--bag', metavar='PATH', help='look into a bag (sqlite3 or MCAP) instead of live topics')
    add('--samples', type=int, default=20, metavar='N',
        help='images to look at, at most; at least 1')
    add('--seconds', type=float, default=15.0, metavar='S',
        help='how long to wait for them, above 0, at most 3600; of live topics')


def _add_evidence(group):
    add = group.add_argument
    add('--point', action='append', default=[], metavar='[FRAME=]U,V',
        help='pixel where a frame is seen, the tool unless named; may be given again')
    add('--click', action='store_true', help='click it in a window')
    add('--board', metavar='KIND', help='aruco (a marker) or charuco (a board of them)')
    add('--board-frame', default='', metavar='FRAME',
        help='TF frame that the board is fixed to: on the gripper or on the base')
    add('--board-pose', type=float, nargs=7, metavar='X', help='any x y z [m] qx qy qz qw of '
        'the board in that frame; else the frame is the board')
    add('--dictionary', default='4X4_50', metavar='NAME', help='of its markers')
    add('--marker-id', type=int, metavar='ID',
        help='of a single marker, at least 0; the one that is seen without it')
    add('--marker-size', type=float, default=0.0, metavar='M',
        help='side of a marker, at least 0; 0: only the middle of a single one is used')
    add('--squares', default='0x0', metavar='COLUMNSxROWS', help='of a ChArUco board')
    add('--square-size', type=float, default=0.0, metavar='M',
        help='side of its squares, above that of its markers')


def run(args) -> int:
    """Look, judge, write and print; return the exit status."""
    if not args.bag:
        from ..support.ros_process import become_ros_process
        become_ros_process()  # first: OpenCV, once imported, changes the variables
    from ..calibration.run import check, PICTURE, REPORT
    from .camera_config import node_config
    config = node_config(args)
    options = check_options(args, config)
    check_out(args.out)
    samples, source = look(args, config, options)
    try:
        findings = check(samples, options, source)
    except (ConfigError, ObservationError):
        print(f'{args.out / PICTURE} shows what was seen, {args.out / REPORT} tells pixels',
              file=sys.stderr)
        raise
    print(findings.summary())
    print(f'wrote {args.out}/: ' + ', '.join(sorted(
        path.name for path in args.out.iterdir() if path.is_file())))
    return findings.verdict.status


def check_out(out):
    """Raise ConfigError, before anything is looked at, where results could not be written."""
    from ..support.files import check_directory
    place = out.absolute()
    there = next(each for each in (place, *place.parents) if each.exists())
    if not there.is_dir():
        raise ConfigError(f'--out {out} cannot be a directory for results: {there} is a file')
    check_directory(there, '--out', path=out)


def check_options(args, config):
    """Return the CheckOptions of the command line; raise ConfigError."""
    from ..calibration.evidence import point_from_text, pose_from_numbers
    from ..calibration.run import CheckOptions
    if args.samples < 1 or not 0 < args.seconds <= 3600:
        raise ConfigError(f'--samples is {args.samples} and --seconds {args.seconds:g}, expected '
                          'at least 1, and up to 3600')
    frames = config.protected_frames or config.end_effector_frames
    return CheckOptions(
        frames, tuple(point_from_text(text, frames[0]) for text in args.point), args.click,
        board(args), args.board_frame,
        None if args.board_pose is None else pose_from_numbers(args.board_pose),
        patches(args.checkpoint, config), args.out, args.camera,
        config.calibration_error_px, config.rotate_image_180)


def board(args):
    """Return the Board of the options, None if there is none; raise ConfigError."""
    from ..calibration.boards import Board
    if args.board is None:
        return None
    try:
        columns, rows = (int(number) for number in args.squares.lower().split('x'))
    except ValueError:
        raise ConfigError(f'--squares is {args.squares!r}, expected COLUMNSxROWS such as '
                          '5x7') from None
    return Board(args.board, args.dictionary, args.marker_id, args.marker_size, (columns, rows),
                 args.square_size)


def patches(checkpoint, config):
    """Return how the image is cut for the policy of a checkpoint, or for most."""
    from ..calibration.picture import Patches
    radius = config.policy.radius_patches
    if not checkpoint:
        return Patches(radius=radius)
    from ..formats import open_checkpoint
    from ..geometry.image_transform import ImageTransform
    source = open_checkpoint(replace(config, checkpoint=checkpoint).checkpoint_directory).config
    vision = source.model.vision
    transform = ImageTransform(**{'size': (vision.image_size,) * 2, **source.image})
    return Patches(transform, vision.grid, radius)


def look(args, config, options):
    """Return (samples, where they come from in words), of a bag or of live topics."""
    with Progress('looking at the camera') as progress:
        samples, topics = (of_bag if args.bag else of_topics)(
            args, config, options, progress.show)
    where = f'the bag {args.bag}' if args.bag else 'live topics'
    count = f'{len(samples)} image' + 's' * (len(samples) > 1)
    return samples, f'{count} of {topics[0]}, camera_info of {topics[1]}, from {where}'


def of_bag(args, config, options, progress):
    """Return (samples, topics) of a bag; tell what of it could not be read."""
    from .camera_config import topics_in_bag
    from ..calibration.bag import samples_of_bag
    from ..ingest.observer import ObserverOptions
    samples, topics, losses = samples_of_bag(
        args.bag, topics_in_bag(args), ObserverOptions.of(config), options.more_frames,
        args.samples, progress)
    print(''.join(f'--bag {args.bag}: {text}\n' for text in losses), end='', file=sys.stderr)
    return samples, topics


def of_topics(args, config, options, progress):
    """Return (samples, topics) of what is published now."""
    from .camera_config import remappings
    from ..ros.check_camera import samples_live
    return samples_live(config, remappings(args), options.more_frames, args.samples,
                        args.seconds, progress)
