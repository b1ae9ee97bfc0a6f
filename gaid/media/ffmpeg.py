"""The other decoder (`--decoder ffmpeg`): the ffmpeg program, driven through ffmpeg-python, under the same safety options.

It chooses the same pictures by the same arithmetic, and passes its sound to the same windows; a test holds the two
equal. It reads a file three times (packets, picture, sound) and always decodes forward, so it is the slower one: it is
for machines whose ffmpeg reads files that PyAV's does not, and for a second opinion.
"""

import shutil

from gaid.errors import DependencyMissing, MediaError
from gaid.media.clip import Clip, ClipRequest
from gaid.media.ffmpeg_file import FFmpegFile
from gaid.media.ffmpeg_pictures import Pictures
from gaid.media.ffmpeg_sound import Sounds
from gaid.media.limits import Deadline, DecodeLimits, check_size
from gaid.media.pyav import make_clip
from gaid.media.sampling import build_timeline, plan_frames
from gaid.media.sound import Sound, SoundWindows


def check_ffmpeg() -> None:
    """Raises DependencyMissing unless ffmpeg-python and the programs ffmpeg and ffprobe are there."""
    try:
        import ffmpeg
    except ImportError:
        raise DependencyMissing("--decoder ffmpeg needs ffmpeg-python: pip install 'gaid[ffmpeg]'") from None
    if not hasattr(ffmpeg, "input"):
        raise DependencyMissing(
            "--decoder ffmpeg needs ffmpeg-python, but another package named ffmpeg is installed: "
            "pip uninstall ffmpeg, then pip install 'gaid[ffmpeg]'"
        )
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            raise DependencyMissing(
                f"--decoder ffmpeg needs the program {program}, which is not on the path: install FFmpeg, or use pyav"
            )


def decode_with_ffmpeg(request: ClipRequest, limits: DecodeLimits) -> Clip:
    """As `gaid.media.decode.decode_clip`, by the ffmpeg program."""
    deadline = Deadline(limits.seconds)
    file = FFmpegFile(request.path, limits, deadline)
    probed = file.probe()
    if probed.video is None or not len(probed.index):
        raise MediaError("no video", f"{file.name}: holds no moving picture")
    if not probed.video.get("codec_name"):
        raise MediaError("unreadable", f"{file.name}: no decoder for its picture")
    check_size(file.name, int(probed.video.get("width", 0)), int(probed.video.get("height", 0)), limits)
    timeline = build_timeline(probed.index, int(probed.video.get("has_b_frames", 0))).hold(probed.sound_end)
    zero = int(timeline.shown[0])
    plan = plan_frames(timeline, request.frames, request.start, request.end, zero, file.name, request.frame_sampling)
    pictures = Pictures(file, probed.video, timeline, plan, request, probed.clock)
    frames = pictures.frames()
    windows = SoundWindows.of(request, plan.moments, plan.duration)
    if request.audio_path is not None:
        sound = _decode_sound_file(request.audio_path, windows, (plan.start - zero) * timeline.tick, limits, deadline)
    elif probed.audio is None:
        sound = windows.nothing("no track")
    else:
        sound = Sounds(file, probed, windows, plan.start * timeline.tick, plan.duration).decode()
    remarks = plan.remarks(pictures.replaced)
    return make_clip(
        frames, plan.moments, plan.frame_times, plan.duration, sound, plan.short, pictures.decoded, remarks
    )


def _decode_sound_file(
    path: str, windows: SoundWindows, offset: float, limits: DecodeLimits, deadline: Deadline
) -> Sound:
    try:
        file = FFmpegFile(path, limits, deadline)
        probed = file.probe()
        if probed.audio is None:
            return windows.nothing("no track")
        return Sounds(file, probed, windows, probed.sound_start + offset, windows.seconds).decode()
    except MediaError as error:
        if error.reason == "too slow":
            raise
        return windows.nothing("failed")
