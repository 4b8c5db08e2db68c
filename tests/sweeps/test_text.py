"""Parts of messages."""

from __future__ import annotations

import pytest

from hpc.sweeps.text import headline

GRAPH = """InvalidArgumentError: Graph execution error:

Detected at node sgd/Assign defined at (most recent call last):
  File "net.py", line 3, in train

Cannot update variable with shape [1] using a Tensor with shape [0], shapes must be equal.
     [[{{node sgd/AssignAddVariableOp_1}}]] [Op:__inference_458]"""
USER = """AttributeError: in user code:

    File "net.py", line 70, in training_step  *
        grads = tape.gradient(loss_value, weights)

    AttributeError: 'Variable' object has no attribute 'ref'
"""


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("ValueError: wrong\nmore", "ValueError: wrong"),
        ("  \nOSError: full\n", "OSError: full"),
        (USER, "AttributeError: 'Variable' object has no attribute 'ref'"),
        (
            GRAPH,
            "InvalidArgumentError: Cannot update variable with shape [1] using a Tensor with shape [0], "
            "shapes must be equal.",
        ),
        ("ValueError: in user code:", "ValueError: in user code:"),
        ("", ""),
    ],
)
def test_the_headline_says_what_is_wrong(message: str, said: str) -> None:
    assert headline(message) == said
