"""Files of `torch.export.save` that would run code: whatever they hold, and wherever, nothing of it runs."""

from __future__ import annotations

import builtins
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convatlas.base.errors import ConvAtlasError
from convatlas.nets.user_net import load_user_net

GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The members of a good file, with a net for any number of photos."""
    path = tmp_path_factory.mktemp("good") / "net.pt2"
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    shapes = ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(net, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=shapes), path)
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def written(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "net.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"net/{name}", data)
    return path


class Marking:
    """A pickle that makes a file when it is read."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.exec, (self.code,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that the hostile code would make."""
    return tmp_path / "ran"


def code(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


PROTOCOLS = {str(protocol): (protocol, b"") for protocol in range(6)} | {
    f"N0 and {protocol}": (protocol, b"N0") for protocol in (0, 1)
}


def pickled(marker: Path, kind: str) -> bytes:
    protocol, prefix = PROTOCOLS[kind]
    data = prefix + pickle.dumps(Marking(code(marker)), protocol)
    pickle.loads(data)  # it is a real one
    marker.unlink()
    return data


def test_the_good_file_is_opened(tmp_path: Path, members: dict[str, bytes]) -> None:
    net = load_user_net(str(written(tmp_path, members)))
    assert net(torch.zeros(3, 3, 8, 8)).shape == (3, 2)


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_sample_inputs_are_never_read(tmp_path: Path, members: dict[str, bytes], marker: Path, kind: str) -> None:
    data = pickled(marker, kind)
    path = written(tmp_path, {**members, "data/sample_inputs/model.pt": data})
    net = load_user_net(str(path))
    assert net(torch.zeros(1, 3, 8, 8)).shape == (1, 2)
    assert not marker.exists()


@pytest.mark.parametrize("kind", PROTOCOLS)
@pytest.mark.parametrize(
    "member",
    [
        "data/constants/opaque_obj_0",
        "data/constants/custom_obj_0",
        "data/constants/evil",
        "data/weights/model.pt",
        "data/constants/model.pt",
        "data/sample_inputs/other.pt",
        "data/aotinductor/model/net.so",
        "models/other.json",
        "xl_model_weights/model_param_config",
        "serialized_state_dict.json",
        "data.pkl",
    ],
)
def test_members_that_are_not_known(
    tmp_path: Path, members: dict[str, bytes], marker: Path, member: str, kind: str
) -> None:
    path = written(tmp_path, {**members, member: pickled(marker, kind)})
    with pytest.raises(ConvAtlasError, match=f"it holds {member}, which may run code or is not known"):
        load_user_net(str(path))
    assert not marker.exists()


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_weights_that_say_they_are_pickles(tmp_path: Path, members: dict[str, bytes], marker: Path, kind: str) -> None:
    config = json.loads(members[WEIGHTS])
    config["config"]["0.weight"]["use_pickle"] = True
    changed = {**members, WEIGHTS: json.dumps(config).encode(), "data/weights/weight_0": pickled(marker, kind)}
    with pytest.raises(ConvAtlasError, match=r"0\.weight is a pickle"):
        load_user_net(str(written(tmp_path, changed)))
    assert not marker.exists()


def symbols(program: Any, text: str) -> None:
    for value in program["graph_module"]["graph"]["tensor_values"].values():
        for side in value["sizes"]:
            if "as_expr" in side:
                side["as_expr"]["expr_str"] = text


def placeholder(program: Any, text: str) -> None:
    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {rename(key): rename(item) for key, item in value.items()}
        if isinstance(value, list):
            return [rename(item) for item in value]
        return f"input=({text})" if value == "input" else value

    program["graph_module"] = rename(program["graph_module"])


def operation(program: Any, text: str) -> None:
    node = program["graph_module"]["graph"]["nodes"][1]
    node["target"] = "torch.serialization.os.system"
    node["inputs"] = [{"name": "command", "arg": {"as_string": text}, "kind": 1}]


def structure(program: Any, text: str) -> None:
    hidden = json.dumps({"__enum__": True, "fqn": "antigravity:x", "name": "y"})
    spec = {"type": "builtins.dict", "context": hidden, "children_spec": []}
    program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, spec])


def module_path(program: Any, text: str) -> None:
    program["graph_module"]["module_call_graph"][1]["fqn"] = f'a");{text};("'


def files(program: Any, text: str) -> None:
    program["graph_module"]["graph"]["nodes"][1]["target"] = "torch.ops.aten.from_file.default"


def hidden(program: Any, text: str) -> None:
    program["graph_module"]["graph"]["nodes"][1]["target"] = "torch.ops.aten.__class__.mro"


CHANGES: dict[str, Callable[[Any, str], None]] = {
    change.__name__: change for change in (symbols, placeholder, operation, structure, module_path, files, hidden)
}


@pytest.mark.parametrize("change", CHANGES)
def test_graphs_with_code(tmp_path: Path, members: dict[str, bytes], marker: Path, change: str) -> None:
    program = json.loads(members[GRAPH])
    CHANGES[change](program, f"__import__('builtins').exec({code(marker)!r})")
    path = written(tmp_path, {**members, GRAPH: json.dumps(program).encode()})
    with pytest.raises(ConvAtlasError, match="which is not allowed") as caught:
        load_user_net(str(path))
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9**9",
        "Pow(Integer(9), Pow(Integer(9), Integer(9)))",
        "Pow(Pow(Integer(9), Integer(8)), Integer(8))",
        "1 << (1 << 40)",
        # Small powers, of which SymPy multiplies out the product.
        "(s0 + s1 + s2)**8*(s3 + s4 + s5)**8*(s6 + s7 + s8)**8",
        "Mul(" + ", ".join(["Add(Symbol('s0'), Symbol('s1'))"] * 12) + ")",
    ],
)
def test_expressions_that_never_end(tmp_path: Path, members: dict[str, bytes], text: str) -> None:
    program = json.loads(members[GRAPH])
    symbols(program, text)
    with pytest.raises(ConvAtlasError, match="as expr_str, which is not allowed"):
        load_user_net(str(written(tmp_path, {**members, GRAPH: json.dumps(program).encode()})))


def test_conditions_in_code_are_left_out(tmp_path: Path, members: dict[str, bytes], marker: Path) -> None:
    program = json.loads(members[GRAPH])
    program["guards_code"] = [code(marker)]
    net = load_user_net(str(written(tmp_path, {**members, GRAPH: json.dumps(program).encode()})))
    assert net(torch.zeros(1, 3, 8, 8)).shape == (1, 2)
    assert not marker.exists()


def test_graphs_that_are_nested_too_deep(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(ConvAtlasError, match="nested too deep"):
        load_user_net(str(written(tmp_path, {**members, GRAPH: b"[" * 200_000})))


def test_weights_that_declare_more_than_they_hold(tmp_path: Path, members: dict[str, bytes]) -> None:
    config = json.loads(members[WEIGHTS])
    facts = config["config"]["0.weight"]["tensor_meta"]
    facts["sizes"], facts["strides"] = ([{"as_int": n} for n in numbers] for numbers in ([10**6, 10**6], [0, 0]))
    for data in (members["data/weights/weight_0"], b""):
        changed = {**members, WEIGHTS: json.dumps(config).encode(), "data/weights/weight_0": data}
        with pytest.raises(ConvAtlasError, match=r"declares 1,000,000,000,000 numbers for 0\.weight"):
            load_user_net(str(written(tmp_path, changed)))
