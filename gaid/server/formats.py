"""Which files a browser plays as they are, by what they hold: container, codecs and pixels, never the name."""

from gaid.media.clip import MediaInfo

# FFmpeg's decoders by the names of their codecs, where these differ.
_CODECS = {
    "libdav1d": "av1", "libaom-av1": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9", "libopus": "opus", "libvorbis": "vorbis",
    "mp3float": "mp3", "aac_fixed": "aac",
}  # fmt: skip
# Pictures that every browser decodes: 8 bits, colour at half the resolution.
_PIXELS = ("yuv420p", "yuvj420p", None)
# Pictures and sounds by container; None is a file without.
_PLAYED = {
    "mp4": ({"h264", "vp9", "av1", None}, {"aac", "mp3", "opus", "flac", None}),
    "webm": ({"vp8", "vp9", "av1", None}, {"opus", "vorbis", None}),
}
_SOUNDS = {
    "wav": ("audio/wav", {"pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le"}), "mp3": ("audio/mpeg", {"mp3"}),
    "flac": ("audio/flac", {"flac"}), "ogg": ("audio/ogg", {"opus", "vorbis", "flac"}), "aac": ("audio/aac", {"aac"}),
}  # fmt: skip
_STILLS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"BM", "image/bmp"))
HEAD = 64  # bytes of a file's beginning that are looked at


def media_type(head: bytes, info: MediaInfo) -> str | None:
    """The type of a file for a browser, from its first bytes and what is in it; None where browsers may not play it."""
    if info.format == "picture":
        return next((name for start, name in _STILLS if head.startswith(start)), "image/webp")
    video, audio = (_CODECS.get(one, one) if one else None for one in (info.video_codec, info.audio_codec))
    names = info.format.split(",")
    container = "mp4" if "mp4" in names else "webm" if "webm" in names and b"webm" in head else None
    if container is not None:
        pictures, sounds = _PLAYED[container]
        plays = video in pictures and audio in sounds and info.pixels in _PIXELS
        return f"{'audio' if video is None else 'video'}/{container}" if plays else None
    if video is None and names[0] in _SOUNDS:
        found, codecs = _SOUNDS[names[0]]
        return found if audio in codecs else None
    return None
