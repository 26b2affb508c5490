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
from convatlas.pictures.names import Names
from convatlas.pictures.palette import OTHERS, colours_apart

cards = [card for card in ca.list_nets(sort="year") if "top1" in card.figures]
rows = [measured()[card.name] for card in cards]
parameters = [row["parameters"] / 1e6 for row in rows]
accuracies = [parse_figure(card.figures["top1"].printed) for card in cards]
radii = [2.5 + 2.0 * sqrt(row["macs"] / 1e9) for row in rows]
colours = colours_apart(card.family for card in cards)
points = sorted(
    zip(cards, parameters, accuracies, radii, strict=True), key=lambda point: colours[point[0].family][1] == OTHERS
)
x = logarithmic(parameters, "parameters, measured", unit="M", margin=0.06)
y = linear(accuracies, "top-1 accuracy on ImageNet, published", unit="%", margin=0.06)
dots = [
    Dots([cost], [accuracy], *colours[card.family], radius, 0.7, titles=[card.name])
    for card, cost, accuracy, radius in points
]
names = Names(parameters, accuracies, [card.published_name for card in cards], radii, (x.low, x.high, y.low, y.high))
chart = Chart(
    [Panel(x, y, [*dots, names], width=1080, height=700)],
    f"{len(cards)} nets: accuracy against parameters",
    "The area of a disc is the multiply-accumulates of one photo, measured.",
)
chart.picture().save(sys.argv[1] if len(sys.argv) > 1 else "accuracy_against_parameters.png")
