"""Energy-based models: train, sample, score and evaluate them.

Points are torch tensors or NumPy arrays of shape [n, *event]; what comes back is of the kind that went in, and memory is
shared where it can be. An energy is minus an unnormalised log density; a score is the gradient of a log density.

    import gibbsite, numpy
    trained = gibbsite.train("smoke/ssm", data=numpy.random.randn(5000, 2), out="runs/mine")
    run = gibbsite.load("runs/mine")
    run.energy(numpy.zeros((1, 2))); run.score(numpy.zeros((1, 2))); run.sample(100)

A request that is wrong raises RequestError (a ValueError), work that fails WorkError (a RuntimeError). Ctrl-C while
gibbsite works raises KeyboardInterrupt once the state is saved; `train(..., resume=True)` goes on with the same bits.
"""

from __future__ import annotations

import logging
import os
import tempfile
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy
import torch

from . import _core
from ._core import RequestError, Rng, WorkError, __commit__, __version__

__all__ = [
    "Chains", "Objective", "Progress", "RequestError", "Rng", "Run", "Trained", "WorkError", "__version__",
    "environment", "list", "load", "objective", "recipes", "sample_from", "train",
]

Array = Union[torch.Tensor, numpy.ndarray]
_log = logging.getLogger("gibbsite")
_list = list


class Progress(NamedTuple):
    """What a progress callback is told whenever a run writes numbers."""

    step: int  #: completed steps
    phase: str  #: the phase the numbers are of, or "validation"
    numbers: Dict[str, float]  #: "loss" and what else the recipe logs
    done: float  #: share of the whole run in [0, 1], as last heard


class Trained(NamedTuple):
    """What train() did."""

    run: str  #: the run's directory
    step: int
    seconds: float
    rollbacks: int
    stopped_early: bool
    last: Dict[str, float]  #: "<phase>/<name>" as last logged


class Chains(NamedTuple):
    """What sample_from() drew."""

    x: Array  #: [n, *event], the last state of every chain
    states: Optional[Array]  #: [kept, n, *event] with keep=True
    acceptance: Optional[Array]  #: [n], None without an acceptance test
    step_size: float  #: of the kernel, after adaptation


class _Watcher:
    """Tells the compiled half's news to a logger and a callback."""

    def __init__(self, callback: Optional[Callable[[Progress], None]] = None):
        self.callback, self.done = callback, 0.0

    def log(self, level: str, line: str) -> None:
        getattr(_log, level)(line)

    def progress(self, line: str, done: float) -> None:
        self.done = done
        _log.debug(line)

    def metrics(self, step: int, phase: str, numbers: Dict[str, float]) -> None:
        if self.callback is not None:
            self.callback(Progress(step, phase, numbers, self.done))


def _tensor(x: Any) -> torch.Tensor:
    """A tensor on the memory of x where that is possible: not for arrays that are read-only or of another byte order."""
    if isinstance(x, torch.Tensor):
        return x
    array = numpy.asarray(x)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)


def _like(t: Optional[torch.Tensor], x: Any) -> Any:
    """t as what x is: a tensor for tensors, else an array on the same memory."""
    if t is None or isinstance(x, torch.Tensor):
        return t
    return t.detach().cpu().numpy()


def _overrides(settings: Union[None, Mapping[str, Any], Sequence[str]]) -> List[str]:
    """{"sampler.step_size": 0.1} or ["sampler.step_size=0.1"] as --set takes them."""
    if settings is None:
        return []
    if not isinstance(settings, Mapping):
        return _list(settings)

    def text(value: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if isinstance(value, (tuple, _list)):
            return "[" + ", ".join(text(item) for item in value) + "]"
        return repr(value)

    return [f"{key}={text(value)}" for key, value in settings.items()]


def environment() -> Dict[str, str]:
    """Version, commit, LibTorch, BLAS and processor of this process."""
    return _core.environment()


def list(family: Optional[str] = None) -> Any:
    """Names that recipes may use: of one family a list of (name, summary, paper), else a dict of those."""
    if family is not None:
        return _core.entries(family)
    return {name: _core.entries(name) for name in _core.families()}


def recipes() -> List[str]:
    """Recipes that come with the library, by the names train() takes."""
    return _core.recipes()


def train(recipe: Union[str, os.PathLike, Dict[str, Any]], data: Optional[Array] = None,
          labels: Optional[Array] = None, *, out: Union[str, os.PathLike],
          set: Union[None, Mapping[str, Any], Sequence[str]] = None, seed: Optional[int] = None, device: str = "",
          data_dir: str = "", progress: Optional[Callable[[Progress], None]] = None, resume: bool = False,
          replace: bool = False) -> Trained:
    """Trains the model of a recipe and leaves a run in the directory `out`.

    recipe: a file, a name in recipes(), or a dict of the same shape as a recipe file.
    data: [n, *event] to train on in place of the recipe's data. It is kept beside the run, as <out>.data.npy (or .npz with
        `labels`, n whole numbers), so that the run can be resumed and evaluated. Of the recipe's [data] the treatment of
        the rows stays (noise, scale and the like), not the sizes of the splits nor what only generated data have.
    set: overrides of keys of the recipe, {"train.steps": 100}.
    progress: called with a Progress whenever the run writes numbers. What it raises stops training, once the state is
        saved, as Ctrl-C does.
    resume: go on from the newest checkpoint in `out`; replace: start over where a run is.
    """
    if resume and replace:
        raise RequestError("train: resume and replace exclude each other")
    out = os.fspath(out)
    kept = ""
    if data is not None:
        kept = os.path.abspath(out) + (".data.npy" if labels is None else ".data.npz")
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        array = _tensor(data).detach().cpu().numpy()
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(kept), suffix=".partial", delete=False) as file:
            try:
                if labels is None:
                    numpy.save(file, array)
                else:
                    numpy.savez(file, x=array, label=_tensor(labels).cpu().numpy().astype(numpy.int64))
                file.close()
                os.replace(file.name, kept)
            except BaseException:
                os.unlink(file.name)
                raise
    if isinstance(recipe, os.PathLike):
        recipe = os.fspath(recipe)
    existing = "resume" if resume else "replace" if replace else "refuse"
    return Trained(**_core.train(recipe, kept, out, _overrides(set), seed, device, data_dir, existing, _Watcher(progress)))


class Run:
    """A trained run, opened by load(). Points are in the units of its data."""

    def __init__(self, directory: Union[str, os.PathLike], device: str = "", data_dir: str = ""):
        self._run = _core.Run(os.fspath(directory), device, data_dir, _Watcher())

    def __repr__(self) -> str:
        return f"<gibbsite run {self.directory!r}: {self.model} at step {self.step}>"

    @property
    def directory(self) -> str:
        """Where the run is."""
        return self._run.directory

    @property
    def step(self) -> int:
        """Completed steps of training of the weights in use: the best ones where the run selects, else the newest."""
        return self._run.step

    @property
    def recipe(self) -> str:
        """The resolved recipe, TOML."""
        return self._run.recipe

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._run.model

    @property
    def event(self) -> Tuple[int, ...]:
        """Sizes of one point."""
        return tuple(self._run.event)

    def parameters(self) -> Dict[str, torch.Tensor]:
        """The parameters in use, by "<part>.<name>". They share the run's memory."""
        return dict(self._run.parameters())

    def energy(self, x: Array) -> Array:
        """[n] float64, minus an unnormalised log density, as `gibbsite score` writes it.

        A tensor that requires a gradient gets an energy of the model's precision that can be differentiated in x.
        """
        t = _tensor(x)
        if t.requires_grad:
            return self._run.differentiable_energy(t)
        energy, _, _ = self._run.scores(t)
        if energy is None:
            raise RequestError(f"energy: '{self.model}' has none, only a score")
        return _like(energy, x)

    def score(self, x: Array) -> Array:
        """[n, *event], the gradient of the log density in x, as `gibbsite score` writes it."""
        return _like(self._run.scores(_tensor(x).detach())[1], x)

    def log_density(self, x: Array) -> Array:
        """[n] float64, where the model is normalised or can be by quadrature (one or two dimensions)."""
        density = self._run.scores(_tensor(x).detach())[2]
        if density is None:
            raise RequestError(f"log_density: '{self.model}' is not normalised")
        return _like(density, x)

    def sample(self, n: Optional[int] = None, *, set: Union[None, Mapping[str, Any], Sequence[str]] = None,
               seed: Optional[int] = None, latent: Optional[Array] = None) -> numpy.ndarray:
        """[n, *event], drawn as `gibbsite sample` draws; an array. set: overrides of [sample] and [sampler]. latent: [m, K],
        latent variables that samples are given, one after the other."""
        given = None if latent is None else _tensor(latent)
        count = n if n is not None else 64 if given is None else given.shape[0]
        return self._run.sample(count, _overrides(set), seed, given)[0].numpy()

    def encode(self, x: Array, *, draws: int = 256, seed: Optional[int] = None) -> Tuple[Array, Array]:
        """Mean and variance, [n, K] float64 each, of the latent variables given x."""
        mean, variance = self._run.encode(_tensor(x).detach(), draws, seed)
        return _like(mean, x), _like(variance, x)

    def export(self, file: Union[str, os.PathLike], format: str = "") -> str:
        """Writes parameters (safetensors, npz) or the energy (torchscript) as `gibbsite export` does; the format follows the
        ending of `file` where it is not given. Returns the file."""
        return _core.export_run(self.directory, format, os.fspath(file))

    def evaluate(self, metrics: Sequence[str] = (), data: Union[None, str, Array] = None, *,
                 set: Union[None, Mapping[str, Any], Sequence[str]] = None,
                 seed: Optional[int] = None) -> List[Dict[str, Any]]:
        """Rows of metrics (default: those of the recipe), on the held-out points of the run, a data set or file by name, or
        an array. They are kept in the run as `gibbsite evaluate` keeps them."""
        if isinstance(metrics, str):
            metrics = [metrics]
        if data is None or isinstance(data, str):
            return self._run.evaluate(_list(metrics), _overrides(set), data or "", seed)
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "array.npy")
            numpy.save(file, _tensor(data).detach().cpu().numpy())
            return self._run.evaluate(_list(metrics), _overrides(set), file, seed)


def load(directory: Union[str, os.PathLike], *, device: str = "", data_dir: str = "") -> Run:
    """Opens a run. device: cpu, cuda or cuda:<index>, default the run's. data_dir: where data sets are looked for first."""
    return Run(directory, device, data_dir)


def sample_from(energy: Optional[Callable[[torch.Tensor], torch.Tensor]] = None, start: Optional[Array] = None, *,
                score: Optional[Callable[[torch.Tensor], torch.Tensor]] = None,
                shape: Optional[Sequence[int]] = None, sampler: Union[str, Mapping[str, Any]] = "langevin",
                steps: int = 1000, burn_in: int = 0, thin: int = 1, adapt: bool = False, keep: bool = False,
                manifold: Optional[Mapping[str, Any]] = None, seed: int = 0) -> Chains:
    """Runs a kernel of gibbsite on a Python energy.

    energy: a torch.nn.Module or any function from points [n, *event] to [n] energies, made of torch operations. score: the
        gradient of the log density, [n, *event] to the same; without it autograd takes that of the energy. Kernels with an
        acceptance test need the energy.
    start: [n, *event], or `shape` = (n, *event) for standard normal points (uniform ones on a compact manifold).
    sampler: a name in list("samplers") or the table [sampler] of a recipe, {"name": "hmc", "step_size": 0.1}.
    keep: return every `thin`-th state after the burn-in too. manifold: the table [manifold] of a recipe.
    """
    if (start is None) == (shape is None):
        raise RequestError("sample_from: give start or shape, one of them")
    table = {"name": sampler} if isinstance(sampler, str) else dict(sampler)
    chain = {"steps": steps, "burn_in": burn_in, "thin": thin, "adapt": adapt}
    first = None if start is None else _tensor(start).detach()
    x, states, acceptance, step_size = _core.sample_from(
        energy, score, first, _list(shape or ()), table, chain, None if manifold is None else dict(manifold), seed, keep,
        _Watcher())
    like = torch.empty(0) if start is None or isinstance(start, torch.Tensor) else numpy.empty(0)
    return Chains(_like(x, like), _like(states, like), _like(acceptance, like), step_size)


class Objective:
    """An objective of gibbsite for a Python model, made by objective().

    Call it with a model and a batch: the loss comes back, and loss.backward() leaves the gradients of the model's parameters
    as gibbsite's own training would. Where the method's gradient is not that of its loss (contrastive divergence, say) the
    tensor is a surrogate with the right gradient, and `log` holds the number to report. Call k draws what training draws
    at step k: Rng(seed, "objective").at_step(k).
    """

    def __init__(self, name: str, options: Mapping[str, Any], seed: int, kind: str):
        if kind not in ("energy", "score"):
            raise RequestError(f"objective: kind is '{kind}', expected energy or score")
        self._objective = _core.Objective(name, dict(options), seed)
        self._kind, self.step, self.log = kind, 0, {}  # type: str, int, Dict[str, torch.Tensor]

    def __repr__(self) -> str:
        return f"<gibbsite objective {self._objective.name!r}>"

    def __call__(self, model: Callable[[torch.Tensor], torch.Tensor], x: Array, label: Optional[Array] = None, *,
                 step: Optional[int] = None, progress: float = 0.0) -> torch.Tensor:
        """The loss, 0-dim. model: [n, *event] to [n] energies, or to scores like x for kind="score". step: the random numbers
        of that call in place of the next ones. progress: share of training made, for schedules of an objective."""
        step = self.step if step is None else step
        loss, self.log = self._objective.call(
            model, _tensor(x).detach(), None if label is None else _tensor(label), step, progress, self._kind == "score")
        self.step = step + 1
        return loss


def objective(name: str, options: Optional[Mapping[str, Any]] = None, *, seed: int = 0, kind: str = "energy") -> Objective:
    """An objective by a name in list("objectives") with the options of the table [objective] of a recipe, for energies or,
    kind="score", for networks that are a score. Derivatives are taken by autograd unless the options say otherwise."""
    return Objective(name, options or {}, seed, kind)
