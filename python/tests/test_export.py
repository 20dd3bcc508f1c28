"""What `gibbsite export` writes, read by code that shares nothing with gibbsite."""

import json
import pathlib
import struct

import numpy
import pytest
import torch
from conftest import RECIPE, points

import gibbsite


def read_safetensors(path):
    content = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + length])
    data, types = content[8 + length:], {"F32": "<f4", "F64": "<f8", "I64": "<i8"}
    metadata = header.pop("__metadata__")
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        arrays[name] = numpy.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"])
    return arrays, metadata


def forward(arrays, x, confinement):
    """The energy of points in original units, in float64 NumPy: standardise, perceptron of SiLU layers, linear head."""
    (shift,) = [value for name, value in arrays.items() if name.endswith(".affine.shift")]
    (scale,) = [value for name, value in arrays.items() if name.endswith(".affine.scale")]
    y = (x - shift) * scale
    h = y
    for layer in (1, 2):
        a = h @ arrays[f"model.body_layer{layer}_weight"].T.astype(float) + arrays[f"model.body_layer{layer}_bias"]
        h = a / (1 + numpy.exp(-a))
    energy = (h @ arrays["model.head_weight"].T.astype(float) + arrays["model.head_bias"])[:, 0]
    return energy + 0.5 * confinement * (y ** 2).sum(1) - numpy.log(numpy.abs(scale)).sum()


def test_safetensors_and_npz_reproduce_energies_in_numpy(trained, run, program, tmp_path):
    x = points(300, seed=9)
    program("export", trained[0], "--out", tmp_path / "model.safetensors")
    arrays, metadata = read_safetensors(tmp_path / "model.safetensors")
    missed = numpy.abs(forward(arrays, x, RECIPE["model"]["confinement"]) - run.energy(x)).max()
    print(f"largest difference of an energy: {missed:.2e}")
    assert missed < 1e-5
    assert metadata["gibbsite.step"] == "150" and 'name = "mlp"' in metadata["gibbsite.recipe"]
    program("export", trained[0], "--format", "npz", "--out", tmp_path / "model.npz")
    again = numpy.load(tmp_path / "model.npz")
    assert set(again) == set(arrays) and all((again[name] == arrays[name]).all() for name in arrays)


def test_torchscript_reproduces_energies_and_scores(trained, run, program, tmp_path):
    assert run.export(tmp_path / "model.pt") == str(tmp_path / "model.pt")
    module = torch.jit.load(str(tmp_path / "model.pt"))
    assert {name for name, _ in module.named_parameters()} >= {"model_head_weight"}
    for n in (1, 7, 300):
        x = torch.tensor(points(n, seed=n), dtype=torch.float32)
        assert torch.allclose(module(x).double(), run.energy(x), atol=1e-5)
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(module(x).sum(), x)
        assert torch.allclose(-gradient, run.score(x.detach()), atol=1e-4)


def test_training_starts_from_an_exported_file(trained, program, tmp_path):
    for name in ("model.safetensors", "model.npz"):
        program("export", trained[0], "--out", tmp_path / name)
        out = tmp_path / name.replace(".", "-")
        gibbsite.train(RECIPE, points(2000), out=out, seed=3,
                       set={"init_from": str(tmp_path / name), "train.steps": 1, "optimizer.learning_rate": 1e-12})
        old, new = gibbsite.load(trained[0]).parameters(), gibbsite.load(out).parameters()
        assert all(torch.allclose(old[key], new[key], atol=1e-9) for key in old)


def test_wrong_requests_are_refused(trained, run, program, tmp_path):
    with pytest.raises(AssertionError, match="format"):
        program("export", trained[0])
    with pytest.raises(AssertionError, match="did you mean 'npz'"):
        program("export", trained[0], "--format", "npzz")
    (tmp_path / "broken.safetensors").write_bytes(struct.pack("<Q", 2 ** 63) + b"{}")
    with pytest.raises(RuntimeError, match="header"):
        gibbsite.train(RECIPE, points(200), out=tmp_path / "run", set={"init_from": str(tmp_path / "broken.safetensors")})
