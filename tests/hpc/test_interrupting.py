"""What interrupts a command, and what it was started to ignore."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from hpc.interrupting import ENDING, ignore_signals, interruptible


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_to_end_interrupts_as_ctrl_c_does(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == signal.SIG_DFL


@pytest.mark.parametrize("number", ENDING)
def test_what_a_command_was_started_to_ignore_stays_ignored(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)  # as nohup does, and a shell for the background of a script
    with interruptible():
        os.kill(os.getpid(), number)
        with ignore_signals():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.SIG_IGN
        others = [other for other in ENDING if other != number]
        assert all(callable(signal.getsignal(other)) for other in others)
    assert signal.getsignal(number) == signal.SIG_IGN


def test_no_second_signal_gets_in_the_way_of_stopping_in_order() -> None:
    with interruptible(), ignore_signals():
        for number in ENDING:
            os.kill(os.getpid(), number)
