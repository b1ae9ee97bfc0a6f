"""From a decoded picture to the square that a visual backbone takes: range, orientation, shape of pixels, transparency, size.

The resampling is Pillow's antialiased one on 8-bit RGB, with torchvision's rounding of sizes and of the centre crop,
so that a frame here equals the frame of open_clip's own preprocessing. Normalising is left to the backbone.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gaid.errors import MediaError
from gaid.media.hdr import Transfer, shrink, to_sdr
from gaid.media.limits import DecodeLimits, check_size
from gaid.specs import FrameSpec

RGB = NDArray[np.uint8]
Matrix = tuple[int, int, int, int]  # a, b, c, d of a display matrix: x' = a x + c y, y' = b x + d y

RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}
STILL_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
# A strip thinner than this is cut before it is resized; otherwise its long side would take gigabytes.
LONGEST_ASPECT = 16


@dataclass(frozen=True)
class Display:
    """How the pictures of a file are to be shown. `aspect`: width by height of a pixel; `transfer`: that of a high
    dynamic range."""

    matrix: Matrix = (1, 0, 0, 1)
    aspect: float = 1.0
    transfer: Transfer | None = None

    @property
    def format(self) -> str:
        """FFmpeg's name for the pixel format that `show` takes."""
        return "rgb24" if self.transfer is None else "rgb48le"

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.transfer is None else np.uint16

    def show(self, picture: NDArray[Any], spec: FrameSpec) -> RGB:
        """A picture (H, W, 3) of that format as it is meant to be seen, in the size of `spec`."""
        if self.transfer is not None:
            picture = to_sdr(shrink(picture, 2 * spec.size), self.transfer)
        aspect = 1 / self.aspect if is_turned(self.matrix) else self.aspect
        return fit(orient(picture, self.matrix), spec, aspect)


def is_turned(matrix: Matrix) -> bool:
    """Whether a display matrix is nearer to a quarter turn than to none or a half turn, so that rows become columns."""
    a, b, c, d = matrix
    return abs(a) + abs(d) < abs(b) + abs(c)


def orient(picture: RGB, matrix: Matrix) -> RGB:
    """Turns and mirrors a picture as its display matrix says, to the nearest quarter turn."""
    a, b, c, d = matrix
    if is_turned(matrix):
        picture = picture.swapaxes(0, 1)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return picture[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def fit(picture: RGB, spec: FrameSpec, aspect: float = 1.0) -> RGB:
    """A picture (H, W, 3) as (size, size, 3): by its shortest side and a centre crop, or squashed.

    `aspect` is width by height of a pixel: the picture is resized once, from the pixels as stored to square ones.
    """
    size, resample = spec.size, RESAMPLING[spec.interpolation]
    if spec.resize == "squash":
        return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((size, size), resample))
    height, width = picture.shape[0], picture.shape[1] * aspect  # as seen
    if max(height, width) > LONGEST_ASPECT * min(height, width):
        longest = LONGEST_ASPECT * min(height, width)
        rows, columns = max(1, round(min(height, longest))), max(1, round(min(width, longest) / aspect))
        top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
        picture = picture[top : top + rows, left : left + columns]
        height, width = rows, columns * aspect
    to = (
        (size, max(size, int(size * height / width)))
        if width <= height
        else (max(size, int(size * width / height)), size)
    )
    image = Image.fromarray(np.ascontiguousarray(picture))
    if to != image.size:
        image = image.resize(to, resample)
    left, top = round((to[0] - size) / 2.0), round((to[1] - size) / 2.0)
    return np.asarray(image)[top : top + size, left : left + size]


def is_still(head: bytes) -> bool:
    """Whether a file with these first bytes is a still picture; the name of a file does not decide."""
    return head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")) or (
        head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    )


def read_still(path: str, name: str, limits: DecodeLimits) -> RGB:
    """A still picture file as (H, W, 3); transparent parts become white."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit is larger than the one that is checked next
            with Path(path).open("rb") as file, Image.open(file, formats=STILL_FORMATS) as image:
                check_size(name, *image.size, limits)
                return _as_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise MediaError("too large", f"{name}: more than {limits.pixels / 1e6:g} million pixels") from None
    except (OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError, EOFError, ArithmeticError) as error:
        # Pillow's plugins raise any of these on damaged files.
        raise MediaError("unreadable", f"{name}: not a whole picture ({type(error).__name__})") from None


def _as_rgb(image: Image.Image) -> RGB:
    if image.mode.startswith(("I", "F")):
        # convert() would clip 16-bit greys at 255.
        grey = np.asarray(image).astype(np.float64)
        scale = 1.0 if grey.max(initial=0) <= 255 else 1 / 257
        grey8 = np.clip(np.nan_to_num(grey) * scale, 0, 255).round().astype(np.uint8)
        return np.repeat(grey8[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    return np.asarray(image.convert("RGB"))
