"""Prepare photos for an exported net with Pillow and NumPy alone, by the metadata in its file.

`python prepare_photos_yourself.py NET.onnx PHOTO` runs the net in ONNX Runtime, which also reads the metadata, and
prints the class; without arguments it exports a net to try it on.
"""

import json
import sys

import numpy as np
from PIL import Image, ImageOps


def decode(file: str) -> Image.Image:
    """Read a photo: upright, RGB of 8 bits, transparent parts over white."""
    photo = ImageOps.exif_transpose(Image.open(file))
    if photo.mode.startswith("I"):  # grey of 16 bits
        photo = Image.fromarray(((np.asarray(photo).astype(int) * 255 + 32767) // 65535).astype(np.uint8))
    elif photo.has_transparency_data:
        white, photo = Image.new("RGB", photo.size, "white"), photo.convert("RGBA")
        white.paste(photo, mask=photo)
        return white
    return photo.convert("RGB")


def prepare(photo: Image.Image, how: dict) -> np.ndarray:
    """Turn an upright RGB photo into the net's input (C, h, w); `how` is the file's `preprocessing`."""
    if "kind" in how:
        return prepare_as_darknet(photo, how)
    (h, w), resize, short = how["size"], how["resize"], min(photo.size)
    if how["geometry"] == "squash":
        kept, resized = photo.size, (resize, resize)
    elif how["geometry"] == "crop_resize":
        kept, resized = (max(1, h * short // (h + resize)),) * 2, (w, h)
    else:
        whole = resize * int(resize * max(photo.size) / short) <= 2**25  # of a longer photo only the centre is seen
        kept = [side if whole else min(side, 8 * max(1, -(-max(h, w) // resize)) * short) for side in photo.size]
        resized = [int(resize * side / short) for side in kept]
    later = how["geometry"] == "crop_resize"  # of unequal margins, the larger one comes first
    left, top = ((side - part + later) // 2 for side, part in zip(photo.size, kept, strict=True))
    photo = photo.crop((left, top, left + kept[0], top + kept[1]))
    part, photo = photo, photo.resize(resized, filter := Image.Resampling[how["interpolation"].upper()])
    if how.get("polarity") == "light on dark":
        if is_dark_on_light(np.asarray(photo.convert("L"))):
            photo = ImageOps.invert(part).resize(resized, filter)
        photo = Image.fromarray(on_black(np.asarray(photo.convert("L"))))
    left, top = round((resized[0] - w) / 2), round((resized[1] - h) / 2)
    photo = photo.crop((left, top, left + w, top + h)).convert("L" if len(how["mean"]) == 1 else "RGB")
    x = np.asarray(photo, np.float32).reshape(h, w, -1)[:, :, :: -1 if how["order"] == "bgr" else 1]
    x = (x / np.float32(how["scale"]) - np.float32(how["mean"])) / np.float32(how["std"])
    return x.transpose(2, 0, 1)


def is_dark_on_light(levels: np.ndarray) -> bool:
    """Whether the border of a grey photo (h, w) is light."""
    return 2 * border_level(levels) > int(levels.min()) + int(levels.max())


def on_black(levels: np.ndarray) -> np.ndarray:
    """Stretch the levels of a grey photo (h, w), so that those of its border become 0."""
    paper, contrast = int(border_level(levels)), int(levels.max()) - int(border_level(levels))
    if paper == 0 or contrast < 26:
        return levels * (paper == 0)
    return ((255 * np.maximum(levels.astype(int) - paper, 0) + contrast // 2) // contrast).astype(np.uint8)


def border_level(levels: np.ndarray) -> float:
    """Median of the first and last row and column."""
    return np.median(np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]]))


def prepare_as_darknet(photo: Image.Image, how: dict) -> np.ndarray:
    """Turn an upright RGB photo into the input (3, h, w) of a net of darknet."""
    (h, w), (width, height) = how["size"], photo.size
    rows, columns, wide = h, w, w * height < h * width
    if how["kind"] != "stretch" and wide == (how["kind"] == "letterbox"):
        rows = max(1, height * w // width)
    elif how["kind"] != "stretch":
        columns = max(1, width * h // height)
    (up, down, y, to_rows), (left, right, x, to_columns) = neighbours(height, rows, h), neighbours(width, columns, w)
    pixels = np.asarray(photo, np.float32)
    pixels = pixels[:, left] + (pixels[:, right] - pixels[:, left]) * x[:, None]
    pixels = pixels[up] + (pixels[down] - pixels[up]) * y[:, None, None]
    result = np.full((h, w, 3), 0.5, np.float32)
    result[to_rows, to_columns] = pixels / np.float32(255)
    return result.transpose(2, 0, 1)


def neighbours(length: int, resized: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, slice]:
    """Both pixels of the photo beside each pixel of the input, the share of the second, and where they belong."""
    first, before = max(0, resized - size) // 2, max(0, size - resized) // 2
    count = min(size, resized)
    position = np.arange(first, first + count) * ((length - 1) / max(resized - 1, 1))
    low = position.astype(int)
    share = (position - low).astype(np.float32)
    return low, np.minimum(low + 1, length - 1), share, slice(before, before + count)


def main(file: str, photo: str) -> None:
    try:
        import onnxruntime
    except ImportError:
        sys.exit("the net runs in ONNX Runtime: pip install onnxruntime")
    session = onnxruntime.InferenceSession(file)
    metadata = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    print("\n".join(metadata["preprocessing_steps"]))
    (outputs,) = session.run(None, {"photos": prepare(decode(photo), metadata["preprocessing"])[None]})
    print(metadata["labels"][int(outputs[0].argmax())])


if __name__ == "__main__":
    if len(sys.argv) == 1:
        import convatlas as ca
        from convatlas.images.samples import sample

        ca.export(ca.load("efficientnet_lite0"), "net.onnx")
        main("net.onnx", str(sample("coffee")))
    else:
        main(*sys.argv[1:])
