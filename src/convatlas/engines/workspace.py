"""What engines build their files from: a net, its folder in the store, and photos for the ranges of int8."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram

from convatlas.base.atomic import whole
from convatlas.base.errors import ConvAtlasError, ImageError
from convatlas.base.store.sealed import seal, sealed_hash
from convatlas.engines.export.graph import EXAMPLE, export_program, write_onnx
from convatlas.engines.export.metadata import DATA, GRAPH, graph_files, metadata_of
from convatlas.engines.probabilities import probability_map_of
from convatlas.engines.sample_inputs import NetInput, sample_inputs
from convatlas.engines.session import Float32Array
from convatlas.images.decoding import Source
from convatlas.nets.net import Net, check_prepared_channels
from convatlas.weights.lineage import Lineage
from convatlas.weights.user_weights import lineage_of

CALIBRATION, VALIDATION = 300, 400
"""Photos that the ranges of int8 come from, and other photos on which its answers are compared with float32's."""

MAX_BYTES = 2**28
"""Memory that the photos of either purpose may take."""


class Workspace:
    """A net to build files from.

    Attributes:
        folder: The net's folder in the store.
        net: The net, on the CPU, in float32 and in evaluation mode.
        input: The tensor that the net takes.
        sources: Photos of the user for int8; None for crops of the sample photographs.
    """

    def __init__(self, folder: Path, net: nn.Module, input: NetInput, sources: Sequence[Source] | None = None):
        self.folder, self.net, self.input, self.sources = folder, net, input, sources

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input: (C, H, W) or (features,)."""
        return self.input.shape

    def program(self) -> ExportedProgram:
        """The net's exported program, for any batch size."""
        return export_program(self.net, self.input.example(EXAMPLE))

    def graph(self) -> Path:
        """Path of the net's ONNX file, which is written if it is missing or damaged."""
        path = self.folder / GRAPH
        if not all(map(sealed_hash, graph_files(self.folder))):
            with whole(path, DATA) as place:
                write_onnx(self.program(), metadata_of(self.net, self.shape), place)
            for file in graph_files(self.folder):
                seal(file)
        return path

    @property
    def probability_map(self) -> str:
        """Name of the map from the net's outputs to probabilities; empty if it is not known."""
        return probability_map_of(self.net)

    @property
    def routes(self) -> bool:
        """Whether the net routes between capsules."""
        return isinstance(self.net, Net) and self.net.genome.routing is not None

    def trained_lineage(self) -> Lineage:
        """Lineage of the net's weights.

        Raises:
            ConvAtlasError: The weights are random, so that answers mean nothing.
        """
        if (lineage := lineage_of(self.net)) is None:
            raise ConvAtlasError(
                "reduced precision is judged by answers to photos, which mean nothing with random weights"
            )
        return lineage

    @cached_property
    def photos(self) -> tuple[Float32Array, Float32Array]:
        """Inputs for calibration, which the ranges of int8 come from, and other inputs for validation.

        Raises:
            ConvAtlasError: The weights are random, or too few photos can be read.
        """
        lineage = self.trained_lineage().for_shape(self.shape)
        most = max(8, MAX_BYTES // (4 * math.prod(self.shape)))
        if self.sources is None:
            counts = min(CALIBRATION, most), min(VALIDATION, most)
            first, second = (
                sample_inputs(self.net, count, self.input, seed).numpy() for seed, count in enumerate(counts, 1)
            )
            return first, second
        prepared = []
        for source in self.sources[: 2 * most]:
            try:
                prepared.append(torch.from_numpy(lineage.prepare(source)))
            except ImageError:
                continue
        if len(prepared) < 2:
            raise ConvAtlasError(
                f"reduced precision is judged by photos: two are needed at least, and {len(prepared)} could be read"
            )
        check_prepared_channels(len(prepared[0]), self.shape[0])
        x = torch.stack(prepared).numpy()
        return np.ascontiguousarray(x[::2][:CALIBRATION]), np.ascontiguousarray(x[1::2])

    def ranges(self, precision: str) -> str:
        """Name of the photos that int8 takes its ranges from; empty for other precisions."""
        if precision != "int8":
            return ""
        if self.sources is None:
            return "samples"
        return hashlib.sha256(b"".join(part.tobytes() for part in self.photos)).hexdigest()[:12]
