"""What the tests share: a tiny trained run, and the program to compare with."""

import os
import pathlib
import subprocess

import numpy
import pytest
import torch

import gibbsite

torch.set_num_threads(1)

RECIPE = {
    "data": {"name": "replaced", "scale": "standardise"},
    "model": {"name": "mlp", "hidden": [24, 24], "confinement": 0.1},
    "objective": {"name": "ssm"},
    "optimizer": {"learning_rate": 0.003},
    "sampler": {"name": "mala", "step_size": 0.3},
    "sample": {"burn_in": 50, "steps": 1},
    "train": {"steps": 150, "batch_size": 128, "log_every": 50, "checkpoint_every": 50},
}


def points(n, seed=0):
    draws = numpy.random.default_rng(seed)
    return draws.normal(size=(n, 2)) * [1.0, 0.5] + [2.0, -1.0]


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """(directory of a run, what training returned, what the callback heard)."""
    heard = []
    out = tmp_path_factory.mktemp("runs") / "first"
    result = gibbsite.train(RECIPE, points(2000), out=out, seed=3, progress=heard.append)
    return out, result, heard


@pytest.fixture(scope="session")
def run(trained):
    return gibbsite.load(trained[0])


@pytest.fixture(scope="session")
def program():
    """Runs the command line; returns its stdout."""
    binary = os.environ.get("GIBBSITE") or str(pathlib.Path(gibbsite.__file__).parents[2] / "gibbsite")

    def call(*arguments):
        done = subprocess.run([binary, *map(str, arguments), "--threads", "1"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call
