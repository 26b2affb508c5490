"""TCAV: whether a score grows along the direction of a concept, more than along random ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.base.terminal.arguments import spelled
from convatlas.pictures.pixels import diverging
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.concept._maps import Spread, maps_of, photos_and_own
from convatlas.probes.concept._student import p_value
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.layers import layer_named
from convatlas.probes.photos import shown
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject

OWN = ("photos", "random")
"""Names that are no concepts: examples of the class, and photos of nothing in particular."""

EXAMPLES = 4
"""Photos of a concept on the sheet."""


@dataclass(frozen=True)
class Tcav(Probe):
    """The share of a class's photos whose score grows along a concept's direction, tested against random directions.

    A concept is `concepts={"stripes": [photos], "random": [photos], "photos": [photos of the class]}`; the photo to
    explain is one of the class. Each run learns from other two thirds of the photos, and is judged by the rest.

    Attributes:
        runs: Directions that are learned for each concept, and for random ones.
        ridge: Weight of the squared norm of the classifier, as a share of the features' mean square.
        pooled: Whether a direction is one of channels, alike at all places, or one of all numbers of the layer.
    """

    runs: int = 20
    ridge: float = 0.1
    pooled: bool = True

    title = "Testing with concept activation vectors (TCAV)"
    source = (
        'Kim et al. 2018, "Interpretability beyond feature attribution: quantitative testing with concept activation '
        'vectors (TCAV)"'
    )
    formula = "share of photos with ∇_A f · v > 0; v: normal of a ridge classifier, concept against random photos"
    shows = "Whether the net uses what photos of a concept have in common, in the layer, for the score."
    hides = "Whether it is the concept: v follows anything that sets its photos apart from the random ones."
    cost = "1 forward a photo, 1 backward a photo of the class"
    needs = "gradients"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Learn the directions, and test the gradients of each target along them."""
        check_whole("runs", self.runs, 2, 1000)
        check_number("ridge", self.ridge, ends=(False, True))
        names = [name for name in subject.concepts if name not in OWN]
        random = subject.concepts.get("random")
        if not names:
            several = spelled(
                'concepts={"stripes": [...], "random": [...]}', "--concepts stripes=FOLDER --concepts random=FOLDER"
            )
            raise ConvAtlasError(f"tcav needs concepts: pass {several}")
        if random is None or len(random) < 4:
            more = spelled('concepts={"random": [...]}', "--concepts random=FOLDER")
            raise ConvAtlasError(f"tcav needs 4 or more photos of no concept: pass {more}")
        few = [name for name in names if len(subject.concepts[name]) < 2]
        if few:
            raise ConvAtlasError(f"a concept of tcav has 2 or more photos; {few[0]!r:.40} has 1")
        features, layer = {}, ""
        for name in (*names, "random"):
            parts = []
            for _, layer, maps in maps_of(subject, subject.concepts[name]):  # noqa: B007 - the last one counts
                parts.append(maps.mean((2, 3)) if self.pooled else maps.flatten(1))
                yield 0, 1, None
            features[name] = torch.cat(parts).double()
        generator = subject.generator()
        nothing = self._learned(features["random"], None, generator)
        directions = {name: self._learned(features[name], features["random"], generator) for name in names}
        photos = photos_and_own(subject)
        results = []
        for k in range(len(subject.targets)):
            gradients = []
            for number in range(len(photos)):
                tape = subject.tape if number == 0 else subject.tape_of(photos[number : number + 1])
                index = layer_named(tape, subject.layer)[1]
                gradients.append(subject.back(tape, [index], k)[index][0].double())
                yield k * len(photos) + number, len(photos) * len(subject.targets), None
            results.append(self._tested(subject, layer, directions, nothing, torch.stack(gradients)))
        yield 1, 1, results

    def _learned(self, positive: Tensor, negative: Tensor | None, generator: torch.Generator) -> Learned:
        """Directions that tell features (n, d) from others; without others, one random half from the other."""
        rows, accuracies = [], []
        for _ in range(self.runs):
            concept, others = positive, negative
            if others is None:
                order = torch.randperm(len(positive), generator=generator)
                concept, others = positive[order[::2]], positive[order[1::2]]
            (concept, left), (others, right) = (_split(each, generator) for each in (concept, others))
            row = separating(concept, others, self.ridge)
            middle = (concept.mean(0) + others.mean(0)) @ row / 2
            hits = (left @ row > middle).double().mean() + (right @ row < middle).double().mean()
            rows.append(row)
            accuracies.append(float(hits) / 2)
        return Learned(torch.stack(rows), accuracies)

    def _tested(
        self,
        subject: Subject,
        layer: str,
        directions: dict[str, Learned],
        nothing: Learned,
        gradients: Tensor,
    ) -> Exhibition:
        flat = gradients.sum((2, 3)) if self.pooled else gradients.flatten(1)  # (n, d)

        def shares(rows: Tensor) -> list[float]:
            return [float((flat @ row > 0).double().mean()) for row in rows]

        random = shares(nothing.rows)
        exhibits, numbers, arrays = [], {"random": float(np.mean(random))}, {}
        for name, learned in directions.items():
            rows, scores = learned.rows, shares(learned.rows)
            # A direction that does not tell photos apart is that of no concept: both tests have to hold.
            raw = max(p_value(scores, random), p_value(learned.accuracies, nothing.accuracies))
            # Bonferroni: one test for each concept.
            corrected = min(1.0, raw * len(directions))
            mean = float(np.mean(scores))
            own = {"score": mean, "deviation": float(np.std(scores)), "p": raw, "corrected": corrected}
            own["accuracy"] = float(np.mean(learned.accuracies))
            numbers |= {f"{name}: {key}": value for key, value in own.items()}
            arrays[f"scores of {name}"], arrays[f"directions of {name}"] = np.array(scores), rows.cpu().numpy()
            verdict = "used" if corrected < 0.05 else "not told from random"
            row = f"{name}: TCAV {mean:.2f} ({np.mean(random):.2f} of random), p = {corrected:.2g}, {verdict}"
            direction = rows.mean(0)
            weights = direction[:, None, None] if self.pooled else direction.reshape(gradients[0].shape)
            sensitivity = (gradients[0] * weights).sum(0).cpu().numpy()
            exhibits.append(
                Exhibit(f"{name}, sensitivity", self._drawn(subject, layer, sensitivity), SENSITIVITY, row, own)
            )
            exhibits += [
                Exhibit(f"{name}, {number + 1}", shown(photo, subject.net), "", row)
                for number, photo in enumerate(subject.concepts[name][:EXAMPLES])
            ]
        arrays["scores of random"] = np.array(random)
        notes = [
            f"p: the larger one of two-sided t-tests of score and accuracy against {self.runs} random ones, times "
            "the number of concepts"
        ]
        if len(flat) < 10:
            notes.append(f"the scores are shares of only {len(flat)} photos of the class")
        return Exhibition(tuple(exhibits), layer, numbers, arrays, tuple(notes))

    def _drawn(self, subject: Subject, layer: str, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """A signed map over the grey photo."""
        on = Spread(subject, layer, (values.shape[0], values.shape[1]))(values)
        share = on / max(float(np.abs(on).max()), 1e-30)
        grey = shown(subject.x[0], subject.net).mean(2, keepdims=True)
        alpha = 0.8 * np.abs(share)[:, :, None]
        pixels: NDArray[np.uint8] = np.rint(grey * (1 - alpha) + diverging(share.astype(np.float64)) * alpha).astype(
            np.uint8
        )
        return pixels


@dataclass(frozen=True)
class Learned:
    """Directions (runs, d) of a concept, and the share of photos left out that each tells from the others."""

    rows: Tensor
    accuracies: list[float]


def _split(features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two thirds of features (n, d), at least one and not all, and the rest."""
    order = torch.randperm(len(features), generator=generator)
    kept = min(max(1, round(2 * len(features) / 3)), len(features) - 1)
    return features[order[:kept]], features[order[kept:]]


SENSITIVITY = "the photo's ∇f · v: red where more of the concept would raise the score"


def separating(positive: Tensor, negative: Tensor, ridge: float) -> Tensor:
    """Unit normal of the ridge classifier of two sets of features (n, d), by its closed form in the dual."""
    x = torch.cat([positive, negative])
    y = torch.cat([torch.ones(len(positive)), -torch.ones(len(negative))]).to(x)
    # Both sets weigh the same, however large they are.
    weight = torch.cat([torch.full_like(y[: len(positive)], 0.5 / len(positive)),
                        torch.full_like(y[len(positive) :], 0.5 / len(negative))])  # fmt: skip
    root = weight.sqrt()
    centred = (x - weight @ x) * root[:, None]
    goal = (y - weight @ y) * root
    gram = centred @ centred.T
    scale = gram.diagonal().sum().clamp(min=1e-30)
    solved = torch.linalg.solve(gram + ridge * scale * torch.eye(len(x)).to(x), goal)
    normal = centred.T @ solved
    result: Tensor = normal / normal.norm().clamp(min=1e-30)
    return result


PROBE = Tcav
