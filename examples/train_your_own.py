"""A pretrained net learns classes of your own: a folder of photos for each, the early stages kept as they are."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import convatlas as ca
from convatlas.images.samples import sample

random = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
    # Your own photos would lie in photos/CLASS/...; here they are pieces of two photos that come along.
    photos = Path(folder, "photos")
    for name in ("coffee", "chelsea"):
        (photos / name).mkdir(parents=True)
        with Image.open(sample(name)) as photo:
            for number in range(12):
                left, top = random.integers(photo.width - 200), random.integers(photo.height - 200)
                photo.crop((left, top, left + 200, top + 200)).save(photos / name / f"{number}.png")
    found = ca.train(
        "efficientnet_lite0",
        photos,
        weights="lite",
        size=96,
        recipe={
            "epochs": 2,
            "batch_size": 8,
            "lr": 3e-3,
            "freeze": ["stem", "stage[1-6]"],
            "hflip": 0.5,
            "val_split": 0.25,
        },
        output=Path(folder, "run"),
    )
    print(found)
    net = ca.load(found.weights)
    print(ca.classify(photos / "coffee" / "0.png", net, top=2))
