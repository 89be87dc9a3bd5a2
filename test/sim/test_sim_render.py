# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The camera's frames are those of MuJoCo's own renderer, whatever moves or changes."""
from libero_scene import libero_env
import numpy as np
import pytest

import sqap_vla_ros.sim  # noqa: F401  chooses the rendering backend before MuJoCo is imported

mujoco = pytest.importorskip('mujoco', reason='needs MuJoCo: pip install .[sim]')

SIZE = (96, 128)
SCENE = """
<mujoco>
  <asset>
    <texture type="skybox" builtin="gradient" rgb1="0.3 0.5 0.7" rgb2="0 0 0"
             width="64" height="64"/>
    <material name="red" rgba="0.8 0.1 0.1 1"/>
    <mesh name="wedge" vertex="0 0 0  .2 0 0  0 .2 0  0 0 .2"/>
  </asset>
  <worldbody>
    <light name="lamp" pos="0 0 3"/>
    <camera name="front" pos="0 -2 1" xyaxes="1 0 0 0 0.4 0.9" fovy="45"/>
    <geom name="floor" type="plane" size="3 3 .1" rgba=".4 .4 .3 1" group="1"/>
    <geom name="wall" type="box" size="1 .02 .3" pos="0 1 .3" rgba=".2 .6 .2 1" group="1"/>
    <geom name="window" type="box" size=".2 .01 .3" pos=".5 -.3 .3" rgba="0 .3 1 .3" group="1"/>
    <geom name="collision" type="sphere" size=".4" pos="0 0 .4" group="0"/>
    <site name="mark" pos="-.6 0 .2" size=".05" rgba="1 1 0 1"/>
    <site name="hidden" pos="0 -1 .5" size=".3" rgba="1 0 0 -1"/>
    <body name="ball" pos="-.3 0 .2">
      <freejoint/>
      <geom name="ball" type="sphere" size=".15" material="red" group="1"/>
    </body>
    <body name="block" pos="0 .2 .2">
      <freejoint/>
      <geom name="block" type="box" size=".1 .1 .1" rgba=".2 .2 .9 1" group="1"/>
      <geom name="tip" type="mesh" mesh="wedge" pos="0 0 .1" group="1"/>
      <site name="tip" pos="0 -.1 0" size=".03" rgba="0 1 1 1"/>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def scene():
    """Return (model, data, camera) of a small scene in which two bodies can move."""
    from sqap_vla_ros.sim.render import SceneCamera
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = SceneCamera(model, data, 'front', SIZE)
    yield model, data, camera
    camera.close()


def place(model, data, body, position):
    address = model.joint(model.body(body).jntadr[0]).qposadr[0]
    data.qpos[address:address + 3] = position
    mujoco.mj_forward(model, data)


def plain_renderer(model, image_size):
    """Return MuJoCo's renderer, with what SceneCamera turns off turned off."""
    renderer = mujoco.Renderer(model, *image_size)
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] = 0
    return renderer


def plain_frame(renderer, data, camera):
    """Return the frame by MuJoCo's renderer; close it before another camera is used."""
    options = mujoco.MjvOption()
    options.geomgroup[0] = 0
    renderer.update_scene(data, camera, options)
    return renderer.render()


def assert_frame_is_right(scene):
    model, data, camera = scene
    frame = camera.render()
    with plain_renderer(model, SIZE) as renderer:
        np.testing.assert_array_equal(frame, plain_frame(renderer, data, 'front'))
    return frame


@pytest.fixture
def drawings(monkeypatch):
    """Return a list of the masks of what is drawn, as it grows."""
    from sqap_vla_ros.sim.render import SceneCamera
    drawn, draw = [], SceneCamera._draw

    def recorded(camera, shown, **how):
        drawn.append(shown)
        return draw(camera, shown, **how)
    monkeypatch.setattr(SceneCamera, '_draw', recorded)
    return drawn


def test_frames_are_mujocos_while_bodies_move_in_front_of_and_behind_each_other(scene):
    model, data, _ = scene
    frames = [assert_frame_is_right(scene)]
    for x in np.linspace(-0.6, 0.3, 6):
        place(model, data, 'ball', [x, 0.1 - x, 0.2])
        frames.append(assert_frame_is_right(scene))
    assert all((a != b).any() for a, b in zip(frames, frames[1:]))


def test_a_body_that_leaves_the_view_and_comes_back(scene):
    model, data, camera = scene
    before = camera.render()
    for position in ([30, 0, 0.2], [-0.3, -5, 1], [-1.05, 0, 0.2], [-0.3, 0, 0.2]):
        place(model, data, 'ball', position)
        after = assert_frame_is_right(scene)
    np.testing.assert_array_equal(after, before)


def test_what_cannot_be_in_view_is_left_out(scene, drawings):
    model, data, camera = scene
    place(model, data, 'ball', [30, 0, 0.2])
    camera.render()
    assert not any(mask[model.geom('ball').id] for mask in drawings)
    assert any(mask[model.geom('block').id] for mask in drawings)


def test_only_what_has_moved_is_drawn_again(scene, drawings):
    model, data, camera = scene
    camera.render()
    drawings.clear()
    camera.render()
    assert drawings == []
    place(model, data, 'block', [-0.1, 0.2, 0.2])
    camera.render()
    (mask,) = drawings
    assert set(np.flatnonzero(mask[:model.ngeom])) == {
        model.geom('block').id, model.geom('tip').id}


@pytest.mark.parametrize('change', [
    lambda model: model.geom('wall').rgba.__setitem__(0, 1),
    lambda model: model.geom('ball').rgba.__setitem__(slice(None), [1, 1, 0, 1]),
    lambda model: model.mat('red').rgba.__setitem__(1, 1),
    lambda model: model.geom('block').size.__setitem__(0, 0.2),
    lambda model: model.site('hidden').rgba.__setitem__(3, 1),
    lambda model: model.site('mark').pos.__setitem__(2, 0.5),
    lambda model: model.geom('wall').pos.__setitem__(2, 0.5),
    lambda model: model.light('lamp').pos.__setitem__(0, 2),
    lambda model: model.light('lamp').diffuse.__setitem__(0, 0),
    lambda model: model.vis.headlight.diffuse.__setitem__(0, 1),
    lambda model: model.cam('front').pos.__setitem__(0, 0.3),
    lambda model: model.cam_fovy.__setitem__(0, 60),
], ids=['wall', 'ball', 'material', 'size', 'site', 'place', 'fixture', 'light', 'color',
        'headlight', 'camera', 'lens'])
def test_a_changed_look_shows_in_the_next_frame(scene, change):
    model, data, camera = scene
    before = camera.render()
    change(model)
    mujoco.mj_forward(model, data)
    if (before == assert_frame_is_right(scene)).all():
        pytest.fail('the change does not show at all')


def test_what_moves_behind_glass_shines_through(scene):
    model, data, camera = scene
    empty = camera.render()
    window = camera.segment() == model.geom('window').id
    place(model, data, 'ball', [0.5, 0.2, 0.3])
    assert (assert_frame_is_right(scene) != empty)[window].any()


def test_moving_glass_lets_the_scene_shine_through(scene):
    model, data, camera = scene
    model.geom('block').rgba[3] = 0.4
    assert_frame_is_right(scene)
    place(model, data, 'block', [-0.3, -0.4, 0.2])
    assert_frame_is_right(scene)


@pytest.mark.parametrize('name', ['floor', 'wall', 'ball', 'block', 'tip'])
def test_the_segmentation_is_where_a_geoms_colour_shows(scene, name):
    model, data, camera = scene
    place(model, data, 'ball', [-0.1, 0, 0.2])  # covers a part of the block
    model.geom('window').rgba[3] = 1
    before, mask = camera.render(), camera.segment() == model.geom(name).id
    assert mask.any()
    model.geom(name).rgba = [0.9, 0.8, 0.1, 1]
    np.testing.assert_array_equal((camera.render() != before).any(axis=-1), mask)


def test_collision_geometry_and_sites_are_no_geoms_of_the_segmentation(scene):
    model, _, camera = scene
    seen = set(np.unique(camera.segment()))
    assert model.geom('collision').id not in seen
    assert -1 in seen and seen <= set(range(-1, model.ngeom))


def test_rendering_leaves_the_models_groups_alone(scene):
    model, _, camera = scene
    groups = model.geom_group.copy(), model.site_group.copy()
    camera.render()
    camera.segment()
    np.testing.assert_array_equal(model.geom_group, groups[0])
    np.testing.assert_array_equal(model.site_group, groups[1])


def test_a_returned_frame_is_the_callers_own(scene):
    _, _, camera = scene
    frame = camera.render()
    frame[:] = 0
    assert camera.render().any()
    assert frame.flags.c_contiguous and frame.dtype == np.uint8


def test_a_frame_may_be_larger_than_the_models_offscreen_buffer(scene):
    from sqap_vla_ros.sim.render import SceneCamera
    model, data, _ = scene
    camera = SceneCamera(model, data, 'front', (600, 700))
    assert camera.render().shape == (600, 700, 3)
    camera.close()


def test_closing_a_camera_leaves_another_ones_frames_alone(scene):
    from sqap_vla_ros.sim.render import SceneCamera
    model, data, camera = scene
    before = camera.render()
    other = SceneCamera(model, data, 'front', (48, 48))
    other.render()
    camera.render()
    other.close()
    place(model, data, 'ball', [-0.6, 0, 0.4])
    assert (assert_frame_is_right(scene) != before).any()


def test_a_closed_camera_opens_again(scene):
    _, _, camera = scene
    before = camera.render()
    camera.close()
    camera.close()
    np.testing.assert_array_equal(camera.render(), before)


def test_libero_frames_are_mujocos_in_random_states():
    env, rng = libero_env(), np.random.default_rng(0)
    frames, states = [], []
    for seed in range(4):
        env.reset(seed)
        for _ in range(6):
            twist, gripper = rng.uniform(-0.3, 0.3, 6) + [0.1, 0, -0.15, 0, 0, 0], rng.random()
            for _ in range(4):
                env.step(twist, gripper)
            mujoco.mj_forward(env.model, env.data)  # a step leaves poses one substep behind
            frames.append(env.render())
            states.append((env.model.body_pos.copy(), env.data.qpos.copy()))
    with plain_renderer(env.model, env.image_size) as renderer:
        for frame, (body_pos, qpos) in zip(frames, states):
            env.model.body_pos[:], env.data.qpos[:] = body_pos, qpos  # resets move fixtures
            mujoco.mj_forward(env.model, env.data)
            np.testing.assert_array_equal(frame, plain_frame(renderer, env.data, 'agentview'))


@pytest.mark.parametrize('camera, ours', [
    ('agentview', 'render'), ('robot0_eye_in_hand', 'render_wrist')])
def test_what_public_checkpoints_were_trained_on_is_our_frame_mirrored(camera, ours):
    """Their authors rotate the benchmark's own frame, which is upside down, by 180 degrees."""
    from robosuite.utils.binding_utils import MjRenderContextOffscreen

    from sqap_vla_ros.geometry.image_transform import ImageTransform
    env = libero_env()
    env.reset(3)
    simulation = env.scene.benchmark.sim
    simulation.add_render_context(MjRenderContextOffscreen(simulation, device_id=-1))
    theirs = simulation.render(camera_name=camera, width=256, height=256)[::-1, ::-1]
    frame = getattr(env, ours)()
    difference = {mirror: np.abs(ImageTransform((256, 256), mirror=mirror).apply(
        frame).astype(int) - theirs).mean() for mirror in (False, True)}
    assert difference[True] < 20 < 40 < difference[False]  # they draw shadows, we do not


def test_a_camera_on_a_moving_body_shows_what_mujocos_renderer_does_wherever_it_is():
    env = libero_env()
    env.reset(3)
    wrist, frames = 'robot0_eye_in_hand', []
    for twist in ([0.2, 0, -0.2, 0, 0, 0], [0, 0, -0.2, 0, 0.5, 0], [0, 0.2, 0, 0, 0, 1.0]):
        for _ in range(4):
            env.step(twist, 0.0)
        mujoco.mj_forward(env.model, env.data)
        frames.append((env.render_wrist(), env.render(), env.data.qpos.copy()))
    with plain_renderer(env.model, env.image_size) as renderer:
        for frame, still, qpos in frames:
            env.data.qpos[:] = qpos
            mujoco.mj_forward(env.model, env.data)
            np.testing.assert_array_equal(frame, plain_frame(renderer, env.data, wrist))
            np.testing.assert_array_equal(still, plain_frame(renderer, env.data, 'agentview'))


def test_the_end_effector_is_seen_between_the_fingers_from_the_hand():
    env, places = libero_env(), []
    for seed in (3, 4):
        env.reset(seed)
        inverse = np.linalg.inv(env.wrist_pose())
        seen = env.wrist_intrinsics() @ (inverse @ env.end_effector_pose()[:, 3])[:3]
        places.append(seen[:2] / seen[2])
        fingers = np.isin(env.scene.wrist.segment(), env.geom_ids('gripper0_finger'))
        rows, columns = np.nonzero(fingers)
        u, v = places[-1]
        assert columns.min() < u < columns.max() and abs(columns.mean() - u) < 8
        assert rows.min() - 12 < v < rows.max()
    np.testing.assert_allclose(*places, atol=1e-6)  # it moves with the camera
