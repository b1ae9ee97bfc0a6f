"""Threads that wait leave the processor to others, unless the user has said otherwise."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("set_by_user", "expected"), [(None, "passive"), ("active", "active"), ("", "")])
def test_importing_gaid_asks_openmp_to_wait_without_spinning(set_by_user, expected):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if set_by_user is not None:
        environment["OMP_WAIT_POLICY"] = set_by_user
    script = "import sys, gaid, os; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
