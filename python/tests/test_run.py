"""Runs: training, loading, and the numbers of the command line bit for bit."""

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy
import pytest
import torch
from conftest import RECIPE, points

import gibbsite


def test_version_is_the_programs(program):
    lines = dict(line.split(" ", 1) for line in program("--version").splitlines())
    assert gibbsite.__version__ == lines["version"]
    assert gibbsite.environment()["libtorch"] == lines["libtorch"]


def test_one_libtorch_in_the_process():
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if "libtorch_cpu" in line}
    assert len(files) == 1, files


def test_train_on_an_array(trained):
    out, result, heard = trained
    assert result.step == 150 and result.run == str(out)
    assert [news.step for news in heard if news.phase == "main"] == [50, 100, 150]
    assert all(numpy.isfinite(news.numbers["loss"]) for news in heard)
    assert heard[-1].done == pytest.approx(1)
    # Sliced score matching of standardised Gaussian data goes to -½ of the Fisher information per projection: ½·1 - 1.
    assert result.last["main/loss"] == pytest.approx(-1, abs=0.4)


def test_energy_score_and_samples_are_the_programs_bits(trained, run, program, tmp_path):
    x = points(700, seed=1)  # more than one chunk of the service
    numpy.save(tmp_path / "x.npy", x)
    program("score", trained[0], "--data", tmp_path / "x.npy", "--out", tmp_path / "scores.npz")
    written = numpy.load(tmp_path / "scores.npz")
    assert run.energy(x).tobytes() == written["energy"].tobytes()
    assert run.score(x).tobytes() == written["score"].tobytes()
    assert run.log_density(x).tobytes() == written["log_density"].tobytes()
    program("sample", trained[0], "-n", 50, "--seed", 5, "--out", tmp_path / "s.npy")
    assert run.sample(50, seed=5).tobytes() == numpy.load(tmp_path / "s.npy").tobytes()
    rows = json.loads(program("evaluate", trained[0], "--metric", "log_likelihood", "--json"))["rows"]
    assert run.evaluate("log_likelihood")[0]["value"] == rows[0]["value"]


def test_score_is_the_gradient_of_the_energy(run):
    x = torch.tensor(points(20, seed=2), requires_grad=True)
    (gradient,) = torch.autograd.grad(run.energy(x).sum(), x)
    assert torch.allclose(-gradient.float(), run.score(x.detach()).float(), rtol=1e-4, atol=1e-5)


def test_tensors_come_back_for_tensors_and_memory_is_shared(run):
    x = torch.tensor(points(5))
    assert isinstance(run.energy(x), torch.Tensor) and isinstance(run.energy(x.numpy()), numpy.ndarray)
    assert gibbsite._tensor(x.numpy()).data_ptr() == x.data_ptr()
    fixed = x.numpy()
    fixed.flags.writeable = False
    assert (run.energy(fixed) == run.energy(x).numpy()).all()
    # Rows at the end of a batch may round otherwise.
    assert numpy.allclose(run.energy(x.numpy()[::-1])[::-1], run.energy(x.numpy()), rtol=1e-5)
    assert (run.energy(x.numpy().astype(">f8")) == run.energy(x.numpy())).all()
    before = float(run.energy(numpy.zeros((1, 2)))[0])
    name, tensor = sorted(run.parameters().items())[0]
    tensor.add_(1)
    assert float(run.energy(numpy.zeros((1, 2)))[0]) != before, name
    tensor.sub_(1)


def test_errors_are_python_exceptions(run, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'mlp'"):
        gibbsite.train({**RECIPE, "model": {"name": "mlpp"}}, points(100), out=tmp_path / "a")
    with pytest.raises(ValueError, match="hiden"):
        gibbsite.train({**RECIPE, "model": {"name": "mlp", "hiden": [3]}}, points(100), out=tmp_path / "b")
    with pytest.raises(RuntimeError):
        gibbsite.load(tmp_path / "nothing")
    with pytest.raises(RuntimeError, match="sizes|expected"):
        run.energy(numpy.zeros((3, 5)))
    with pytest.raises(ValueError, match="encoder"):
        run.encode(numpy.zeros((3, 2)))
    with pytest.raises(gibbsite.RequestError):
        run.evaluate("no_such_metric")
    assert issubclass(gibbsite.WorkError, RuntimeError)


def test_a_callback_that_raises_stops_and_the_run_resumes(tmp_path, trained):
    class Enough(Exception):
        pass

    def stop(news):
        if news.step == 50:
            raise Enough

    out = tmp_path / "stopped"
    with pytest.raises(Enough):
        gibbsite.train(RECIPE, points(2000), out=out, seed=3, progress=stop)
    assert gibbsite.load(out).step == 50
    result = gibbsite.train(RECIPE, points(2000), out=out, seed=3, resume=True)
    assert result.step == 150
    whole, resumed = gibbsite.load(trained[0]).parameters(), gibbsite.load(out).parameters()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_interrupt_saves(tmp_path):
    script = tmp_path / "long.py"
    script.write_text(textwrap.dedent(f"""
        import sys
        sys.path[:0] = {sys.path!r}
        import gibbsite
        from conftest import RECIPE, points
        try:
            gibbsite.train(RECIPE, points(500), out={str(tmp_path / "run")!r}, set={{"train.steps": 10000000}},
                           progress=lambda news: print("step", news.step, flush=True))
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """))
    child = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().startswith("step")
    child.send_signal(signal.SIGINT)
    rest = child.communicate(timeout=300)[0]
    assert child.returncode == 0 and rest.splitlines()[-1] == "interrupted"
    assert gibbsite.load(tmp_path / "run").step >= 50


def test_other_python_threads_run_meanwhile(run):
    done, ticks = threading.Event(), []

    def tick():
        while not done.wait(0.002):
            ticks.append(0)

    beside = threading.Thread(target=tick)
    beside.start()
    before = len(ticks)
    run.sample(200, set={"sample.burn_in": 3000})
    during = len(ticks) - before  # none while a call keeps the interpreter to itself
    done.set()
    beside.join()
    assert during >= 1


def test_warnings_reach_the_logger(tmp_path, caplog):
    repeated = numpy.repeat(points(10), 50, axis=0)
    with caplog.at_level(logging.WARNING, logger="gibbsite"):
        gibbsite.train(RECIPE, repeated, out=tmp_path / "run", set={"train.steps": 2})
    assert "repeated" in caplog.text or "noise" in caplog.text


def test_latent_runs_encode(tmp_path, program):
    out = tmp_path / "latent"
    gibbsite.train("smoke/vages", out=out, set={"train.steps": 20})
    run = gibbsite.load(out)
    x = gibbsite.Rng(0, "x").normal([30, 2]).double().numpy()
    numpy.save(tmp_path / "x.npy", x)
    program("encode", out, "--data", tmp_path / "x.npy", "--out", tmp_path / "codes.npz")
    written, (mean, variance) = numpy.load(tmp_path / "codes.npz"), run.encode(x)
    assert (mean == written["mean"]).all() and (variance == written["variance"]).all()


def test_stubs_name_what_is_there():
    """A stub that drifts from the module is worse than none."""
    import ast
    import pathlib

    from gibbsite import _core

    def names(nodes):
        return {node.name for node in nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef))}

    stub = ast.parse((pathlib.Path(gibbsite.__file__).parent / "_core.pyi").read_text()).body
    assert names(stub) == {name for name in dir(_core) if not name.startswith("_")}
    for node in stub:
        if isinstance(node, ast.ClassDef) and not issubclass(getattr(_core, node.name), Exception):
            here = {name for name in vars(getattr(_core, node.name)) if not name.startswith("_")}
            assert names(node.body) - {"__init__"} == here, node.name
    assert all(getattr(gibbsite, name).__doc__ for name in gibbsite.__all__
               if name != "__version__" and not name.endswith("Error"))


def test_lists():
    assert "ssm" in [name for name, _, _ in gibbsite.list("objectives")]
    assert set(gibbsite.list()) >= {"models", "samplers", "experiments"}
    assert "smoke/ssm" in gibbsite.recipes()


def test_twenty_lines_train_on_an_array_and_sample(tmp_path, monkeypatch):
    """The script of docs/python.md."""
    import pathlib
    import re

    page = (pathlib.Path(__file__).parents[2] / "docs" / "python.md").read_text()
    script = re.search(r"```python\n(.*?)```", page, re.S).group(1)
    assert len(script.splitlines()) <= 20
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "docs/python.md", "exec"), {})
    assert os.path.exists(tmp_path / "runs")
