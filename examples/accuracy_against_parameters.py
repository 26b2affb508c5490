"""The atlas in one picture: published accuracy against measured parameters, one disc a net, its area the arithmetic.

`python examples/accuracy_against_parameters.py [FILE]` writes `accuracy_against_parameters.png`, or FILE.
"""

import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

import convatlas as ca
from convatlas.anatomy.measure.snapshot import measured
from convatlas.catalogue.printed import value

figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
cards = [card for card in ca.list_nets(sort="year") if "top1" in card.figures]
families = list(dict.fromkeys(card.family for card in cards))
colours = plt.get_cmap("tab20").colors
for number, family in enumerate(families):
    rows = [(measured()[card.name], value(card.figures["top1"].printed)) for card in cards if card.family == family]
    axes.scatter(
        [row["parameters"] / 1e6 for row, _ in rows],
        [top1 for _, top1 in rows],
        [12 + 14 * row["macs"] / 1e9 for row, _ in rows],
        color=colours[number],
        alpha=0.6,
        label=family,
    )
axes.set_xscale("log")
axes.set_xticks([1.5, 4, 10, 25, 60, 150, 350], ["1.5", "4", "10", "25", "60", "150", "350"])
axes.minorticks_off()
axes.set_xlabel("parameters (millions, measured)")
axes.set_ylabel("top-1 accuracy on ImageNet (%, published)")
axes.set_title(f"{len(cards)} nets; the area of a disc is the arithmetic of one photo (measured)")
legend = axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
for handle in legend.legend_handles:
    handle.set_sizes([40])
axes.grid(alpha=0.25)
figure.savefig(
    sys.argv[1] if len(sys.argv) > 1 else "accuracy_against_parameters.png", dpi=110, metadata={"Software": None}
)
