"""The hash of tensors."""

from __future__ import annotations

import torch

from convatlas.base.fingerprint import fingerprint

STATE = {"a": torch.arange(6.0).reshape(1, 2, 3, 1), "b": torch.tensor(True)}


def test_it_is_the_one_that_published_weights_have() -> None:
    # Hashes of trained weights are published: this one must never change.
    assert fingerprint(STATE) == "51aa6ce24b462b6a9d6e8891d52a2f019481aa1bb18769f4e36e889b53871139"


def test_names_types_shapes_and_values_count_and_the_memory_format_does_not() -> None:
    same = {"a": STATE["a"].contiguous(memory_format=torch.channels_last), "b": STATE["b"]}
    assert fingerprint(same) == fingerprint({"a": STATE["a"]}, {"b": STATE["b"]}) == fingerprint(STATE)
    others = [
        {"c": STATE["a"], "b": STATE["b"]},
        {"a": STATE["a"].double(), "b": STATE["b"]},
        {"a": STATE["a"].reshape(6), "b": STATE["b"]},
        {"a": STATE["a"] + 1, "b": STATE["b"]},
        {"b": STATE["b"], "a": STATE["a"]},
    ]
    assert len({fingerprint(state) for state in [STATE, *others]}) == 6
