"""The page of the study in the docs."""

from __future__ import annotations

import statistics

from convatlas.studies.capsules.rows import ROWS
from convatlas.studies.capsules.table import CapsuleTable


def page(result: CapsuleTable) -> str:
    """Page of the study, in Markdown; it lists the runs that are not finished."""
    finished = {row["row"] for row in result.rows}
    missing = [row.title for row in ROWS if row.key not in finished]
    pending = f"\nNot trained yet: {'; '.join(missing)}.\n" if missing else ""
    hours = sum(sum(row["seconds"]) for row in result.rows) / 3600
    longest = statistics.fmean(max(result.rows, key=lambda row: statistics.fmean(row["seconds"]))["seconds"]) / 60
    return f"""# Capsules

`convatlas reproduce capsules`: CapsNet by the paper's recipe (Adam, shifts of up to two pixels, margin loss,
reconstruction, three rounds of
routing), for ten epochs; the paper's baseline, which has 35,445,522 parameters (35.4M in the paper), at quarter
width; routing and reconstruction
left out, in short runs at quarter width; pairs of overlapping digits; matrix capsules; and the small CapsNet of 16
channels that is bundled.

{result.table().markdown()}
{pending}
![errors](capsules.png)

## What it shows

The bundled CapsNet has a sixteenth of the channels and 3 % of the parameters; `ca.load("capsnet")` loads it, as
`own/mnist_small`. The first test digit of each class, and its reconstruction:

![digits above their reconstructions](capsnet_reconstructions.png)

One row for each number of the capsule of the last of these digits, changed from -0.25 to 0.25:

![pose sweep](capsnet_poses.png)

## What it does not show

Ten epochs on two cores do not reach the paper's 0.25 %, which no reimplementation reached either (0.30 to 0.40 %
after 50 epochs). Short runs with
10,000 digits cannot order nets whose errors differ by less than their deviation over the seeds. The cosine schedule
is
ours: the paper says "exponentially decaying", without a rate.

How far two cores went: {hours:.1f} hours of training, the longest run {longest:.0f} minutes, beside other work.
Recipes, seconds and hashes of weights are in
`benchmarks/results/capsules.json`.
"""
