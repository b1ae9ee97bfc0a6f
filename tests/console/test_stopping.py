"""Ctrl-C and SIGTERM as a wish to stop."""

import signal
import threading

import pytest

from gaid.console import stop_on_signal

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_wish_and_the_second_an_interrupt(number, capfd):
    before = [signal.getsignal(one) for one in SIGNALS]
    with stop_on_signal("stopping soon") as wish:
        assert not wish
        signal.raise_signal(number)
        assert wish
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert capfd.readouterr().err == "\nstopping soon\n"
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_a_wish_without_an_answer_writes_nothing(capfd):
    with stop_on_signal() as wish:
        signal.raise_signal(signal.SIGINT)
        assert wish
    assert capfd.readouterr() == ("", "")


def test_a_thread_installs_no_handler():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with stop_on_signal() as wish:
            seen.append((signal.getsignal(signal.SIGINT), bool(wish)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
