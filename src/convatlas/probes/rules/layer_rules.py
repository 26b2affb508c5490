"""Rules of LRP for layers with weights: how a layer's relevance is shared among its inputs.

All carry relevance as a multiplier G with R = x·G, so that nothing is divided by an input that may be zero. For a layer
z_j = Σ x_i w_ij + b_j, a rule turns G at z into G at x, and says how much relevance the biases absorb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """A convolution or dense layer with fixed weights, and batch normalization after it folded in.

    Attributes:
        x: Its input.
        z: Its output.
        weight: Its weights.
        bias: Its bias, in a shape that can be added to `z`; None if it has none.
        forward: Function of input and weights: the weighted sums, without bias.
        backward: Function of a gradient at `z` and of weights: the gradient at `x`.
    """

    x: Tensor
    z: Tensor
    weight: Tensor
    bias: Tensor | None
    forward: Callable[[Tensor, Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]

    @cached_property
    def plus(self) -> Tensor:
        """The positive weights, 0 in place of the others."""
        return self.weight.clamp(min=0)

    @cached_property
    def minus(self) -> Tensor:
        """The negative weights, 0 in place of the others."""
        return self.weight.clamp(max=0)

    @cached_property
    def halves(self) -> tuple[Tensor, Tensor | None]:
        """The positive and the negative part of the input; None if nothing of it is negative."""
        return (self.x, None) if bool(self.x.min() >= 0) else (self.x.clamp(min=0), self.x.clamp(max=0))

    @cached_property
    def positive(self) -> Tensor:
        """Sums of the positive x_i w_ij of each output."""
        right, left = self.halves
        return self.forward(right, self.plus) + (0 if left is None else self.forward(left, self.minus))

    @cached_property
    def negative(self) -> Tensor:
        """Sums of the negative x_i w_ij of each output."""
        right, left = self.halves
        return self.forward(right, self.minus) + (0 if left is None else self.forward(left, self.plus))


@dataclass(frozen=True)
class Shared:
    """What a rule makes of a layer's relevance.

    Attributes:
        multiplier: G at the layer's input.
        absorbed: Relevance that the biases, or outputs without any part of the asked sign, keep.
        extra: Relevance of the input that is not a multiple of it; None for most rules.
    """

    multiplier: Tensor
    absorbed: Tensor
    extra: Tensor | None = None


class LayerRule:
    """A rule for layers with weights."""

    def __call__(self, layer: Layer, multiplier: Tensor) -> Shared:
        """Share the relevance z·`multiplier` of a layer among its inputs."""
        raise NotImplementedError


@dataclass(frozen=True)
class Zero(LayerRule):
    """LRP-0: R_i = Σ_j x_i w_ij / z_j · R_j. (LRP-ε is this with the stabiliser, which acts on whole affine chains.).

    Bach et al. 2015, "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
    propagation".
    """

    def __call__(self, layer: Layer, multiplier: Tensor) -> Shared:
        return Shared(layer.backward(multiplier, layer.weight), _bias_part(layer.bias, multiplier))


@dataclass(frozen=True)
class Gamma(LayerRule):
    """LRP-γ: parts of the sign of z_j count 1 + γ times; γ = 0 is LRP-0.

    For inputs and outputs of both signs, as generalised by Andéol et al. 2021, "Learning domain invariant
    representations by joint Wasserstein distance minimization"; for positive inputs it is the rule of Montavon et al.
    2019, "Layer-wise relevance propagation: an overview".

    Attributes:
        gamma: γ, 0 or more.
    """

    gamma: float = 0.25

    def __call__(self, layer: Layer, multiplier: Tensor) -> Shared:
        share = layer.z * multiplier
        up = layer.z > 0
        favoured = torch.where(up, layer.positive + _part(layer.bias, 1), layer.negative + _part(layer.bias, -1))
        t = _divide(share, layer.z + self.gamma * favoured)
        carried = layer.backward(t, layer.weight)
        carried = carried + self.gamma * sign_backward(layer, torch.where(up, t, 0), torch.where(up, 0, t))
        absorbed = share.sub(_divide(share, layer.z + self.gamma * favoured) * (layer.z + self.gamma * favoured)).sum()
        if layer.bias is not None:
            favoured_bias = torch.where(up, _part(layer.bias, 1), _part(layer.bias, -1))
            absorbed = absorbed + (t * (layer.bias + self.gamma * favoured_bias)).sum()
        return Shared(carried, absorbed)


@dataclass(frozen=True)
class AlphaBeta(LayerRule):
    """LRP-αβ: R_i = Σ_j (α z⁺_ij / z⁺_j − β z⁻_ij / z⁻_j) · R_j, with α − β = 1; α = 1 is the z⁺ rule.

    Bach et al. 2015. Where an output has no positive (negative) part, its share stays there.

    Attributes:
        alpha: α, 1 or more; β is α − 1.
        biases: Whether biases take part in z⁺ and z⁻ and keep their share, which in deep nets is nearly all.
    """

    alpha: float = 1.0
    biases: bool = False

    def __call__(self, layer: Layer, multiplier: Tensor) -> Shared:
        share = layer.z * multiplier
        up, kept = self._shared(self.alpha * share, layer.positive, layer.bias, 1)
        if self.alpha == 1:
            return Shared(sign_backward(layer, up, None), kept)
        down, kept_down = self._shared((self.alpha - 1) * share, layer.negative, layer.bias, -1)
        return Shared(sign_backward(layer, up, -down), kept - kept_down)

    def _shared(self, share: Tensor, sums: Tensor, bias: Tensor | None, sign: int) -> tuple[Tensor, Tensor]:
        """A share for each unit of the sums of one sign, and what stays at the outputs."""
        part = _part(bias, sign) if self.biases and bias is not None else None
        total = sums if part is None else sums + part
        t = _divide(share, total)
        kept = torch.where(total == 0, share, 0).sum()
        return t, kept if part is None else kept + (t * part).sum()


@dataclass(frozen=True)
class Excitation(LayerRule):
    """Excitation backprop: outputs are shared among the inputs that excite them (or, negated, that inhibit them).

    Zhang et al. 2016, "Top-down neural attention by excitation backprop". Biases take no part.

    Attributes:
        negated: Whether the weights' signs are turned, as its contrastive form does in the last layer.
    """

    negated: bool = False

    def __call__(self, layer: Layer, multiplier: Tensor) -> Shared:
        sums = layer.negative if self.negated else layer.positive
        share = layer.z * multiplier
        t = _divide(share, sums)
        zero = torch.zeros_like(t)
        multiplier = sign_backward(layer, zero, t) if self.negated else sign_backward(layer, t, None)
        return Shared(multiplier, torch.where(sums != 0, 0, share).sum())


@dataclass(frozen=True)
class Box(LayerRule):
    """z^B, for pixels between `low` and `high`: R_i = Σ_j (x_i w_ij − l_i w⁺_ij − h_i w⁻_ij) / z_j · R_j.

    Montavon et al. 2017, "Explaining nonlinear classification decisions with deep Taylor decomposition".

    Attributes:
        low: Smallest input, in a shape that fits the net's input.
        high: Largest input, likewise.
    """

    low: Tensor
    high: Tensor

    def __call__(self, layer: Layer, multiplier: Tensor) -> Shared:
        up, down = layer.plus, layer.minus
        low, high = self.low.expand_as(layer.x), self.high.expand_as(layer.x)
        z = layer.forward(layer.x, layer.weight) - layer.forward(low, up) - layer.forward(high, down)
        share = layer.z * multiplier
        t = _divide(share, z)
        extra = -low * layer.backward(t, up) - high * layer.backward(t, down)
        return Shared(layer.backward(t, layer.weight), torch.where(z != 0, 0, share).sum(), extra)


@dataclass(frozen=True)
class WeightSquare(LayerRule):
    """w²: R_i = Σ_j w²_ij / Σ_k w²_kj · R_j, whatever the input. Montavon et al. 2017."""

    def __call__(self, layer: Layer, multiplier: Tensor) -> Shared:
        return _by_weights(layer, multiplier, layer.weight.square())


@dataclass(frozen=True)
class Flat(LayerRule):
    """Flat: all inputs of an output share equally. Lapuschkin et al. 2019, "Unmasking Clever Hans predictors"."""

    def __call__(self, layer: Layer, multiplier: Tensor) -> Shared:
        return _by_weights(layer, multiplier, torch.ones_like(layer.weight))


def _by_weights(layer: Layer, multiplier: Tensor, weight: Tensor) -> Shared:
    z = layer.forward(torch.ones_like(layer.x), weight)
    share = layer.z * multiplier
    extra = layer.backward(_divide(share, z), weight)
    return Shared(torch.zeros_like(layer.x), torch.where(z != 0, 0, share).sum(), extra)


def sign_backward(layer: Layer, up: Tensor, down: Tensor | None) -> Tensor:
    """Gradient at x of Σ up·z⁺ + Σ down·z⁻, where z⁺ and z⁻ are the sums of positive and negative parts."""
    right = layer.backward(up, layer.plus)
    if down is not None:
        right = right + layer.backward(down, layer.minus)
    if layer.halves[1] is None:
        return right
    left = layer.backward(up, layer.minus)
    if down is not None:
        left = left + layer.backward(down, layer.plus)
    return torch.where(layer.x >= 0, right, left)


def _part(bias: Tensor | None, sign: int) -> Tensor:
    """Positive or negative part of a bias; 0 if there is none."""
    if bias is None:
        return torch.zeros(())
    return bias.clamp(min=0) if sign > 0 else bias.clamp(max=0)


def _bias_part(bias: Tensor | None, multiplier: Tensor) -> Tensor:
    return (multiplier * bias).sum() if bias is not None else multiplier.new_zeros(())


def _divide(above: Tensor, below: Tensor) -> Tensor:
    """Quotient, 0 where the divisor is 0."""
    return torch.where(below == 0, 0, above / below)
