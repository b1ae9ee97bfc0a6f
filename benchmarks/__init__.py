"""Measurements of every stage against the peer that a user would pick and against the limit of the machine.

Run by `make bench` or `python -m benchmarks NAME ... [--quick]`; no part of the package `gaid`, which never imports it.
`harness` measures, `limits` tells what the machine can do, `tables` writes; every other module is one benchmark, with a
function `run(options) -> Findings`.
"""
