"""The clocks of nodes."""

from __future__ import annotations

from collections.abc import Mapping

from hpc.doctor.base import Finding, ok

SKEW_SECONDS = 30.0
"""From here on, clocks that differ are a problem."""


def check_clock(skews: Mapping[str, tuple[float, float]]) -> Finding:
    """Check whether the clocks of nodes are that of this machine.

    Args:
        skews: by how many seconds at least and at most a node's clock is ahead, by its name; below
            0 where it is behind.
    """
    off = {node: max(least, -most, 0.0) for node, (least, most) in skews.items()}
    worst = max(off, key=lambda node: off[node])
    if not off[worst]:
        most_off = max(max(-least, most) for least, most in skews.values())
        said = f"those of {', '.join(skews)} are within {most_off:.1f} s of this machine's"
        return ok("clock", said)
    word = "ahead" if skews[worst][0] > 0 else "behind"
    said = f"that of {worst} is {off[worst]:.1f} s or more {word}"
    remedy = "Ask the administrators to keep the clocks by NTP; until then times in tables are off."
    return Finding("clock", "problem" if off[worst] >= SKEW_SECONDS else "note", said, remedy)
