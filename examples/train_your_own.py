"""Fine-tune a pretrained net on classes of your own, one folder of photos each; the early stages are frozen."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import convatlas as ca
from convatlas.images.samples import sample

random = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
    # Your own photos would be in photos/CLASS/...; here they are crops of two sample photos.
    photos = Path(folder, "photos")
    for name in ("coffee", "chelsea"):
        (photos / name).mkdir(parents=True)
        with Image.open(sample(name)) as photo:
            for number in range(12):
                x, y = random.integers(photo.width - 200), random.integers(photo.height - 200)
                photo.crop((x, y, x + 200, y + 200)).save(photos / name / f"{number}.png")
    result = ca.train(
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
    print(result)
    net = ca.load(result.weights)
    print(ca.classify(photos / "coffee" / "0.png", net, top=2))
