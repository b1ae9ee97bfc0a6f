"""A media file and a request in, frames and sound out: decoders, sampling, sound, and the pool of decoding processes.

Knows no backbone but its FrameSpec and AudioSpec. What is done with the frames is left to `extract`. Importing this costs nothing:
decode workers do it too.
"""
