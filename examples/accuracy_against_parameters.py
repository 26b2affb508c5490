"""Plot the published accuracy of all nets against their measured parameters; the area of a disc is the net's MACs.

`python examples/accuracy_against_parameters.py [FILE]` writes `accuracy_against_parameters.png`, or FILE.
"""

import sys
from math import sqrt

import convatlas as ca
from convatlas.anatomy.measure.snapshot import measured
from convatlas.catalogue.printed import parse_figure
from convatlas.pictures.axes import linear, logarithmic
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Dots
from convatlas.pictures.palette import SERIES

cards = [card for card in ca.list_nets(sort="year") if "top1" in card.figures]
dots = []
for colour, family in zip(SERIES, dict.fromkeys(card.family for card in cards), strict=False):
    members = [card for card in cards if card.family == family]
    rows = [measured()[card.name] for card in members]
    parameters = [row["parameters"] / 1e6 for row in rows]
    accuracies = [parse_figure(card.figures["top1"].printed) for card in members]
    radii = [2.5 + 2.4 * sqrt(row["macs"] / 1e9) for row in rows]
    dots.append(Dots(parameters, accuracies, colour, family, radii, 0.65, titles=[card.name for card in members]))
x = logarithmic([x for mark in dots for x in mark.x], "parameters, measured", unit="M", margin=0.06)
y = linear([y for mark in dots for y in mark.y], "top-1 accuracy on ImageNet, published", unit="%", margin=0.06)
chart = Chart(
    [Panel(x, y, dots, width=860, height=480)],
    f"{len(cards)} nets: accuracy against parameters",
    "The area of a disc is the multiply-accumulates of one photo, measured.",
)
chart.picture().save(sys.argv[1] if len(sys.argv) > 1 else "accuracy_against_parameters.png")
