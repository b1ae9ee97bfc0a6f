"""Pictures as they are meant to be seen, by both decoders: the shape of pixels, sizes that change on the way, HDR."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from gaid.media.decode import decode_clip
from gaid.media.hdr import shrink, to_sdr
from tests.media.asking import decoders, request


def circle(width, height, aspect=1):
    """What a camera stores of a circle in the middle, with pixels `aspect` times as wide as high."""
    y, x = np.mgrid[:height, :width]
    radius = 0.35 * min(height, width * aspect)
    inside = np.hypot((x + 0.5 - width / 2) * aspect, y + 0.5 - height / 2) < radius
    return np.where(inside, 235, 40).astype(np.uint8)[..., None].repeat(3, axis=2)


def write_picture(path, picture, *, aspect=None, rotation=0, offset=0.0, frames=10):
    """A second of video that shows one picture."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"qp": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
        stream.codec_context.time_base = tick = Fraction(1, 90000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round((number / 10 + offset) / tick), tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def seen(frame):
    """Width and height of what is bright in a picture."""
    rows, columns = np.nonzero(frame.min(axis=2) > 140)
    return np.ptp(columns) + 1, np.ptp(rows) + 1


ASPECTS = {
    "PAL 16:9": (720, 576, Fraction(64, 45)),
    "NTSC 16:9": (720, 480, Fraction(32, 27)),
    "NTSC 4:3": (720, 480, Fraction(8, 9)),
    "HDV": (480, 360, Fraction(4, 3)),
    "half D1": (352, 576, Fraction(24, 11)),
}


@pytest.mark.slow
@decoders
@pytest.mark.parametrize("name", ASPECTS)
def test_a_circle_of_pixels_that_are_not_square_is_round(tmp_path, name, decoder):
    width, height, aspect = ASPECTS[name]
    path = write_picture(tmp_path / "a.mp4", circle(width, height, float(aspect)), aspect=aspect)
    frame = decode_clip(request(path, decoder=decoder, frames=1)).frames[0]
    across, down = seen(frame)
    assert abs(across - down) <= 2
    # The shorter side of what is seen is resized to 96: the circle is 0.7 of it.
    assert across == pytest.approx(0.7 * 96, abs=2)


@decoders
def test_pixels_as_stored_are_those_of_the_file(tmp_path, decoder):
    width, height, aspect = ASPECTS["PAL 16:9"]
    path = write_picture(tmp_path / "a.mp4", circle(width, height, float(aspect)), aspect=aspect)
    frame = decode_clip(request(path, decoder=decoder, frames=1, pixels="stored")).frames[0]
    across, down = seen(frame)
    assert across / down == pytest.approx(45 / 64, abs=0.03)


@pytest.mark.slow
@decoders
@pytest.mark.parametrize("turn", [90, 180])
def test_a_turned_picture_keeps_the_shape_of_its_pixels(tmp_path, turn, decoder):
    width, height, aspect = ASPECTS["HDV"]
    path = write_picture(tmp_path / "a.mp4", circle(width, height, float(aspect)), aspect=aspect, rotation=turn)
    across, down = seen(decode_clip(request(path, decoder=decoder, frames=1)).frames[0])
    assert abs(across - down) <= 2


@pytest.mark.slow
@decoders
def test_square_pixels_are_resized_as_they_always_were(tmp_path, decoder):
    path = write_picture(tmp_path / "a.mp4", circle(321, 180)[:, :320])
    square, stored = (
        decode_clip(request(path, decoder=decoder, frames=1, pixels=pixels)).frames for pixels in ("square", "stored")
    )
    np.testing.assert_array_equal(square, stored)


@decoders
def test_a_size_that_changes_on_the_way_is_not_squeezed_to_the_first(tmp_path, decoder):
    wide = write_picture(tmp_path / "wide.ts", circle(192, 128)).read_bytes()
    high = write_picture(tmp_path / "high.ts", circle(128, 192), offset=1.0).read_bytes()
    (tmp_path / "a.ts").write_bytes(wide + high)
    clip = decode_clip(request(tmp_path / "a.ts", decoder=decoder, frames=4))
    assert clip.duration == pytest.approx(2.0, abs=0.01)
    for frame in clip.frames:
        across, down = seen(frame)
        assert abs(across - down) <= 2
        assert across == pytest.approx(0.7 * 96, abs=2)


def pq(light):
    """SMPTE ST 2084's signal for light in cd/m2."""
    power = (light / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def write_grey(path, signal, transfer):
    """Ten bits of one grey, at `signal` of [0, 1] in limited range."""
    luma = round(64 + 876 * signal)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
        for _ in range(5):
            frame = av.VideoFrame(128, 96, "yuv420p10le")
            for plane, value in zip(frame.planes, (luma, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.slow
@decoders
@pytest.mark.parametrize(("transfer", "white"), [(16, pq(203)), (18, 0.75)], ids=["PQ", "HLG"])
def test_reference_white_of_hdr_is_nearly_white(tmp_path, transfer, white, decoder):
    clip = decode_clip(request(write_grey(tmp_path / "a.mp4", white, transfer), decoder=decoder, frames=1))
    # BT.2390's curve from 1,000 to 203 cd/m2 takes 203 to 158 (by hand), which BT.1886 shows at (158 / 203) ** (1 / 2.4).
    assert np.abs(clip.frames.astype(int) - 230).max() <= 3
    stored = decode_clip(
        request(tmp_path / "a.mp4", decoder=decoder, frames=1, pixels="stored"),
    )
    assert np.abs(stored.frames.astype(int) - round(255 * white)).max() <= 3


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_more_light_is_never_darker_and_grey_stays_grey(transfer):
    codes = np.linspace(0, 65535, 500).astype(np.uint16)
    mapped = to_sdr(codes[None, :, None].repeat(3, axis=2), transfer)[0].astype(int)
    assert (np.diff(mapped[:, 0]) >= 0).all()
    assert np.ptp(mapped, axis=1).max() <= 1
    assert (mapped[0, 0], mapped[-1, 0]) == (0, 255)


def test_dark_parts_of_hdr_keep_their_light():
    light = np.array([5.0, 20.0, 80.0])
    codes = np.round(pq(light) * 65535).astype(np.uint16)[None, :, None].repeat(3, axis=2)
    np.testing.assert_allclose(to_sdr(codes, "pq")[0, :, 0], 255 * (light / 203) ** (1 / 2.4), atol=1)


def test_colours_of_hdr_keep_their_hue():
    # Red of BT.709 in BT.2020's primaries (BT.2087), at 100 cd/m2
    red = pq(100 * np.array([0.6274, 0.0691, 0.0164]))
    mapped = to_sdr(np.round(red * 65535).astype(np.uint16)[None, None], "pq")[0, 0]
    np.testing.assert_allclose(mapped, [255 * (100 / 203) ** (1 / 2.4), 0, 0], atol=20)
    assert mapped[0] > 180


def test_large_hdr_pictures_are_averaged_before_they_are_mapped():
    picture = np.random.default_rng(0).integers(0, 65536, (101, 66, 3), dtype=np.uint16)
    small = shrink(picture, 20)
    assert small.shape == (33, 22, 3)
    np.testing.assert_allclose(small[5, 7], picture[15:18, 21:24].mean(axis=(0, 1)), atol=0.51)
    assert shrink(picture, 40) is picture


@pytest.mark.slow
def test_a_needle_of_pixels_that_are_not_square_costs_no_memory():
    from gaid.media.picture import fit
    from gaid.specs import FrameSpec

    for aspect in (1e-4, 1.0, 1e4):
        for shape in ((2, 3000, 3), (3000, 2, 3), (100, 100, 3)):
            assert fit(np.zeros(shape, np.uint8), FrameSpec(96), aspect).shape == (96, 96, 3)


def test_a_still_picture_is_as_before(tmp_path):
    Image.fromarray(circle(200, 100)).save(tmp_path / "a.png")
    across, down = seen(decode_clip(request(tmp_path / "a.png", frames=1)).frames[0])
    assert abs(across - down) <= 2
