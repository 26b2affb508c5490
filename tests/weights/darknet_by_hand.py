"""Darknet in numpy, float64: a cfg text and a weights file to numbers, written from the descriptions of both alone."""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np

Map = np.ndarray


def sections(text: str) -> list[tuple[str, dict[str, str]]]:
    result: list[tuple[str, dict[str, str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line[0] == "[":
            result.append((line[1:-1], {}))
        else:
            key, value = line.split("=")
            result[-1][1][key] = value
    return result


def floats(data: bytes) -> Map:
    major, minor, _ = struct.unpack("<iii", data[:12])
    start = 20 if major * 10 + minor >= 2 and major < 1000 and minor < 1000 else 16
    return np.frombuffer(data[start:], "<f4").astype(np.float64)


def leaky(x: Map) -> Map:
    return np.where(x > 0, x, 0.1 * x)


def logistic(x: Map) -> Map:
    return 1 / (1 + np.exp(-x))


def columns(x: Map, size: int, stride: int, pad: int) -> tuple[Map, int, int]:
    """(C size size, H' W'): each window of a map (C, H, W) with zeros around as a column."""
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    height = (x.shape[1] + 2 * pad - size) // stride + 1
    width = (x.shape[2] + 2 * pad - size) // stride + 1
    rows = [
        padded[c, i : i + stride * height : stride, j : j + stride * width : stride].ravel()
        for c in range(x.shape[0])
        for i in range(size)
        for j in range(size)
    ]
    return np.stack(rows), height, width


def maxpool(x: Map, size: int, stride: int) -> Map:
    """size - 1 pixels of border in all, half of them (rounded down) before; they never win."""
    channels, height, width = x.shape
    out_h, out_w = (height - 1) // stride + 1, (width - 1) // stride + 1
    out = np.full((channels, out_h, out_w), -np.inf)
    offset = (size - 1) // 2
    for i in range(out_h):
        for j in range(out_w):
            top, left = i * stride - offset, j * stride - offset
            cut = x[:, max(top, 0) : top + size, max(left, 0) : left + size]
            out[:, i, j] = cut.max((1, 2))
    return out


def reorg(x: Map, stride: int = 2) -> Map:
    """Apply darknet's index formula, one number at a time over the map's memory."""
    channels, height, width = x.shape
    flat, out = x.ravel(), np.empty(x.size)
    few = channels // stride**2
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                offset, c = divmod(k, few)
                across, down = i * stride + offset % stride, j * stride + offset // stride
                out[i + width * (j + height * k)] = flat[across + width * stride * (down + height * stride * c)]
    return out.reshape(channels * stride**2, height // stride, width // stride)


class Net:
    """Runs the sections; `outputs` are their maps, `boxes` what the last ones find: (x, y, w, h, scores) a row."""

    def __init__(self, text: str, data: bytes, x: Map):
        self.options, *self.layers = sections(text)
        self.numbers, self.at = floats(data), 0
        self.outputs: list[Map] = []
        self.boxes: list[Map] = []
        self.size = x.shape[1:]
        for kind, options in self.layers:
            x = getattr(self, kind)(x, options)
            self.outputs.append(x)
        assert self.at == self.numbers.size, "numbers are left over"

    def take(self, *shape: int) -> Map:
        count = int(np.prod(shape))
        part = self.numbers[self.at : self.at + count]
        self.at += count
        return part.reshape(shape)

    def convolutional(self, x: Map, options: dict[str, str]) -> Map:
        n, size, stride = (int(options[key]) for key in ("filters", "size", "stride"))
        x = x.reshape(-1, 1, 1) if x.ndim == 1 else x
        beta = self.take(n)
        gamma, mean, variance = (self.take(n) for _ in range(3)) if "batch_normalize" in options else (None,) * 3
        weights = self.take(n, x.shape[0] * size * size)
        windows, height, width = columns(x, size, stride, size // 2)
        y = weights @ windows
        if gamma is not None:
            y = gamma[:, None] * (y - mean[:, None]) / (np.sqrt(variance[:, None]) + 0.000001)
        y = (y + beta[:, None]).reshape(n, height, width)
        return leaky(y) if options["activation"] == "leaky" else y

    def local(self, x: Map, options: dict[str, str]) -> Map:
        n, size = int(options["filters"]), int(options["size"])
        windows, height, width = columns(x, size, 1, size // 2)
        biases, weights = self.take(n, height, width), self.take(height * width, n, windows.shape[0])
        y = np.stack([weights[place] @ windows[:, place] for place in range(height * width)], 1)
        return leaky(y.reshape(n, height, width) + biases)

    def connected(self, x: Map, options: dict[str, str]) -> Map:
        outputs = int(options["output"])
        biases = self.take(outputs)
        return self.take(outputs, x.size) @ x.ravel() + biases

    def maxpool(self, x: Map, options: dict[str, str]) -> Map:
        return maxpool(x, int(options["size"]), int(options["stride"]))

    def avgpool(self, x: Map, options: dict[str, str]) -> Map:
        return x.mean((1, 2))

    def dropout(self, x: Map, options: dict[str, str]) -> Map:
        return x

    def upsample(self, x: Map, options: dict[str, str]) -> Map:
        return x.repeat(2, 1).repeat(2, 2)

    def reorg(self, x: Map, options: dict[str, str]) -> Map:
        return reorg(x)

    def shortcut(self, x: Map, options: dict[str, str]) -> Map:
        return x + self.outputs[len(self.outputs) + int(options["from"])]

    def route(self, x: Map, options: dict[str, str]) -> Map:
        return np.concatenate([self.outputs[int(number)] for number in options["layers"].split(",")])

    def region(self, x: Map, options: dict[str, str]) -> Map:
        return self._anchored(x, options, x.shape[2], x.shape[1], softmax=True)

    def yolo(self, x: Map, options: dict[str, str]) -> Map:
        return self._anchored(x, options, self.size[1], self.size[0], softmax=False)

    def _anchored(self, x: Map, options: dict[str, str], wide: int, high: int, softmax: bool) -> Map:
        sides = [float(side) for side in options["anchors"].split(",")]
        anchors = list(pairwise(sides))[::2]
        classes = int(options["classes"])
        boxes = []
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                for number, (width, height) in enumerate(anchors):
                    tx, ty, tw, th, to, *tc = x[number * (5 + classes) : (number + 1) * (5 + classes), row, column]
                    odds = np.exp(np.array(tc) - max(tc))
                    chances = odds / odds.sum() if softmax else logistic(np.array(tc))
                    place = [
                        (column + logistic(tx)) / x.shape[2],
                        (row + logistic(ty)) / x.shape[1],
                        width * np.exp(tw) / wide,
                        height * np.exp(th) / high,
                    ]
                    boxes.append([*place, *(logistic(to) * chances)])
        self.boxes += boxes
        return x

    def detection(self, x: Map, options: dict[str, str]) -> Map:
        side, num, classes = (int(options[key]) for key in ("side", "num", "classes"))
        cells = side * side
        for cell in range(cells):
            for number in range(num):
                place = x[cells * (classes + num) + (cell * num + number) * 4 :][:4]
                chances = x[cell * classes : (cell + 1) * classes] * x[cells * classes + cell * num + number]
                centre = [(place[0] + cell % side) / side, (place[1] + cell // side) / side]
                self.boxes.append(np.array([*centre, place[2] ** 2, place[3] ** 2, *chances]))
        return x
