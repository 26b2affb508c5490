"""D-RISE: how a detector's box goes with what random masks let through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.detector._boxes import Decoder, DetectedBox, decoder_of
from convatlas.probes.perturbation.rise import Rise
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject
from convatlas.probes.targets import Target


@dataclass(frozen=True)
class DRise(Probe):
    """RISE, with the likeness of the detector's boxes to the target box as the score.

    All boxes before non-maximum suppression and without a threshold are compared, so that a box may move to another
    anchor or cell and still count; the most alike one is the score of a masked photo.

    Attributes:
        masks: Most masks to draw.
        cells: Cells of a mask along each side; 16 as in the paper.
        share: Probability p with which a cell is let through.
        estimator: "covariance" of score and mask over p(1 − p), or the paper's "mean" of scores times masks over p.
        tolerance: Standard error, relative to how much the map varies, at which drawing stops; 0 draws all masks.
    """

    masks: int = 5000
    cells: int = 16
    share: float = 0.5
    estimator: str = "covariance"
    tolerance: float = 0.2

    title = "D-RISE"
    source = 'Petsiuk et al. 2021, "Black-box explanation of object detectors via saliency maps"'
    formula = "RISE of max over boxes of IoU(box, target) · cos(class probabilities of both) · objectness of the box"
    shows = "Which parts the detector needs to find this box again: at this place, of these classes."
    hides = "Details finer than a cell; and whether place, class or objectness of the box is lost."
    cost = "one forward a mask, at most 5000 by default; it stops at the tolerance"
    needs = "scores"

    def unfit(self, net: nn.Module) -> str | None:
        """Say what keeps the probe from a net."""
        if decoder_of(net, (1, 1)) is not None:
            return None
        return f"{self.name} explains a detector's box, and this net detects none: use rise"

    def attribute(self, subject: Subject) -> Findings:
        """Draw masks until the map is known well enough."""
        self.check_fit(subject.net)
        decoder = decoder_of(subject.net, subject.size)
        targets = []
        for target in subject.targets:
            if decoder is None or target.box is None:
                raise ConvAtlasError('d_rise explains a box of a detector: pass a target such as "box:0"')
            score = likeness(decoder, target.box)
            targets.append(Target(f"likeness to {target.name}", score, target.index, target.box))
        likenesses = replace(subject, targets=targets, forward_pass=None)
        rise = Rise(self.masks, self.cells, self.share, self.estimator, self.tolerance)
        for done, total, findings in rise.attribute(likenesses):
            subject.forwards = likenesses.forwards
            if findings is None:
                yield done, total, None
                continue
            pairs = zip(findings, likenesses.own_scores.tolist(), strict=True)
            yield done, total, [replace(finding, notes=(*finding.notes, _note(own))) for finding, own in pairs]


def _note(own: float) -> str:
    return f"the map is of the likeness to the box, {own:.4g} on the photo itself"


def likeness(decoder: Decoder, box: DetectedBox) -> Callable[[Any], Tensor]:
    """Function from a detector's output to the likeness of its most alike box to a box, (N,)."""

    def score(output: Any) -> Tensor:
        corners, objects, classes = decoder(output)
        overlap = box_iou(corners.flatten(0, 1), corners.new_tensor([box.corners])).view(objects.shape)
        cosine = F.cosine_similarity(classes, box.classes.to(classes), dim=-1)
        best: Tensor = (overlap * cosine * objects).amax(1)
        return best

    return score


PROBE = DRise
