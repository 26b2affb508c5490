"""Arguments of a forward pass: as the user gives them, from shapes, and those of photos."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.nets.build import build
from convatlas.nets.example_inputs import Inputs, candidate_inputs


class Pair(NamedTuple):
    photo: Tensor
    words: Tensor


class Two(nn.Module):
    def forward(self, photo: Tensor, words: Tensor | None = None, flag: bool = False) -> Tensor:
        return photo if words is None else photo.sum() + words


class Wrapper(nn.Module):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return Two()(*args, **kwargs)


x, y = torch.zeros(2, 3, 4, 5), torch.zeros(2, 7, dtype=torch.int64)


@pytest.mark.parametrize(
    ("given", "args", "kwargs"),
    [
        (x, (x,), {}),
        ((x, y), (x, y), {}),
        ((x, y, True), (x, y, True), {}),
        ([x, y], ([x, y],), {}),
        ({"photo": x, "words": y}, (), {"photo": x, "words": y}),
        ({"image": x}, ({"image": x},), {}),
        ({0: x}, ({0: x},), {}),
        (({"photo": x},), ({"photo": x},), {}),
    ],
    ids=["tensor", "tuple", "tuple with a flag", "list", "keywords", "dict", "dict of numbers", "dict in a tuple"],
)
def test_what_a_user_gives(given: object, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    (found,) = candidate_inputs(Two(), inputs=given)
    assert str(found.args) == str(args)
    assert str(found.kwargs) == str(kwargs)
    assert found.shape == (3, 4, 5)


def test_keywords_of_a_wrapper_and_inputs_made_before() -> None:
    (found,) = candidate_inputs(Wrapper(), inputs={"photo": x, "words": y})
    assert list(found.kwargs) == ["photo", "words"]
    assert candidate_inputs(Wrapper(), inputs=found)[0] is found
    assert found.text == "3 x 4 x 5, 7"


def test_a_list_of_photos_has_no_batch() -> None:
    (found,) = candidate_inputs(Two(), inputs=[torch.zeros(3, 4, 5), torch.zeros(3, 6, 6)])
    assert found.shape == (3, 4, 5)


def test_shapes_become_tensors_of_the_weights_type() -> None:
    found = candidate_inputs(nn.Linear(3, 3).double(), input_shape=(1, 16))
    assert [tensor.dtype for inputs in found for tensor in inputs.tensors] == [torch.float64, torch.int64]
    assert all(tuple(inputs.args[0].shape) == (1, 1, 16) and inputs.args[0].is_meta for inputs in found)
    several = candidate_inputs(Two(), input_shape=((3, 4, 5), (7,)))[0]
    assert [tuple(tensor.shape) for tensor in several.args] == [(1, 3, 4, 5), (1, 7)]
    assert candidate_inputs(Two(), input_shape=[9])[0].shape == (9,)


@pytest.mark.parametrize(
    "shape", [(), (0,), (3, -1), (3, 2.5), (True,), "3,4", 0, ((3,), 4), ((3,), ()), (2**20, 2**20)]
)
def test_shapes_that_are_none(shape: object) -> None:
    with pytest.raises(SizeError, match="an input's shape is its sides without the batch"):
        candidate_inputs(Two(), input_shape=shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("inputs", [3, "photo", (), [], {}, {"photo": 1}, torch.nn.Conv2d])
def test_inputs_without_a_tensor(inputs: object) -> None:
    with pytest.raises(ConvAtlasError, match="inputs are tensors"):
        candidate_inputs(Two(), inputs=inputs)


@pytest.mark.parametrize(
    "other", [{"inputs": x, "size": 4}, {"inputs": x, "input_shape": (3,)}, {"input_shape": (3,), "channels": 1}]
)
def test_inputs_are_said_once(other: dict[str, Any]) -> None:
    with pytest.raises(ConvAtlasError, match="give either inputs, or input_shape, or size and channels"):
        candidate_inputs(Two(), **other)


def test_photos_that_a_net_may_take() -> None:
    def shapes(net: nn.Module, **asked: Any) -> list[tuple[int, ...]]:
        return [inputs.shape for inputs in candidate_inputs(net, **asked)]

    net = nn.Sequential(nn.Conv2d(48, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 1, 1))
    assert shapes(net) == [(count, 224, 224) for count in (3, 48, 2, 4, 1)]
    assert shapes(net, size=(8, 9), channels=5) == [(5, 8, 9)]
    assert shapes(nn.Linear(12, 3)) == [(12,), (3, 224, 224), (1, 224, 224)]
    assert shapes(build("lenet5")) == [(1, 32, 32)]
    assert shapes(build("lenet5"), size=40) == [(1, 40, 40)]


def test_values_come_from_a_seed_and_those_given_stay() -> None:
    made = candidate_inputs(Two(), input_shape=((3, 4), (7,)))[0]
    first, again, other = made.filled(), made.filled(0), made.filled(1)
    assert torch.equal(first.args[0], again.args[0])
    assert not torch.equal(first.args[0], other.args[0])
    assert 0 <= float(first.args[0].min()) <= float(first.args[0].max()) <= 1
    whole = candidate_inputs(Two(), input_shape=(7,))[1].filled()
    assert torch.equal(whole.args[0], torch.zeros(1, 7, dtype=torch.int64))
    given = Inputs((y + 5,)).filled()
    assert torch.equal(given.args[0], y + 5)


def test_arguments_keep_their_types_on_another_device() -> None:
    moved = Inputs((Pair(x, y), [x], {"a": x}, 3), {"flag": None}).to("meta")
    assert isinstance(moved.args[0], Pair)
    assert moved.args[3] == 3
    assert moved.kwargs == {"flag": None}
    assert moved.args[0].photo is moved.args[1][0] is moved.args[2]["a"]
    assert all(tensor.is_meta for tensor in moved.tensors)
    back = moved.to("cpu")
    assert torch.equal(back.args[0].photo, torch.zeros_like(x))


def test_inputs_run() -> None:
    assert float(Inputs((x + 1,), {"words": torch.ones(())}).run(Two())) == 2 * 60 + 1
