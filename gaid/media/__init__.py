"""A media file and a request in, frames and sound out: decoders, sampling, sound, and the pool of decoding processes.

Of backbones it knows `gaid.specs` only; what is done with the frames is left to `gaid.extract`. Importing this package
is cheap, which matters since each decode worker does it.
"""
