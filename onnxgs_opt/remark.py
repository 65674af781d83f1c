"""What a pass or a recogniser says about a place it looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """One observation, made to be printed: a near-miss, a hazard or a refusal.

    Attributes:
        code: The rule or refusal code, such as ``"GSO101"``.
        node: Name of the node that it is about.
        condition: What was seen or what failed, one sentence.
        hint: What the reader can do about it; empty when nothing.
    """

    code: str
    node: str
    condition: str
    hint: str = ""
