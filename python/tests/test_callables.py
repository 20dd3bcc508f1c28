"""Python energies under gibbsite's samplers and objectives."""

import math

import numpy
import pytest
import torch

import gibbsite


class Net(torch.nn.Module):
    def __init__(self, outputs=1):
        super().__init__()
        torch.manual_seed(4)
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.Softplus(), torch.nn.Linear(32, 32),
                                          torch.nn.Softplus(), torch.nn.Linear(32, outputs))

    def forward(self, x):
        return self.layers(x)


class Energy(Net):
    def forward(self, x):
        return super().forward(x).squeeze(-1) + 0.5 * (x * x).sum(-1)


def hand_written_ssm(energy, x, v):
    """½ (v·∇E)² - vᵀ∇²E v by double backward (sliced score matching, Algorithm 1)."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    first = (gradient * v).sum(1)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    return (0.5 * first ** 2 - (second * v).sum(1)).mean()


def batches(step):
    return gibbsite.Rng(7, "data").at_step(step).normal([64, 3]) * torch.tensor([1.0, 0.5, 2.0])


def test_ssm_of_a_module_is_a_hand_written_loop():
    ours, theirs = Energy(), Energy()
    ssm = gibbsite.objective("ssm", seed=1)
    first, second = (torch.optim.Adam(net.parameters(), lr=1e-2) for net in (ours, theirs))
    losses = []
    for step in range(50):
        x = batches(step)
        first.zero_grad()
        loss = ssm(ours, x)
        loss.backward()
        first.step()
        v = gibbsite.Rng(1, "objective").at_step(step).rademacher([64, 3])
        second.zero_grad()
        expected = hand_written_ssm(theirs, x, v)
        expected.backward()
        second.step()
        losses.append((float(loss), float(expected)))
        assert float(ssm.log["loss"]) == float(loss)
    worst = max(abs(a - b) for a, b in losses)
    assert worst < 1e-5, worst
    assert losses[-1][0] < losses[0][0] - 0.1
    print(f"largest difference of the loss over 50 steps: {worst:.2e}")


@pytest.mark.parametrize("name", ["exact_score_matching", "dsm", "ssm_vr", "mpf", "nce", "ksd", "mvl"])
def test_objectives_take_modules(name):
    energy = Energy()
    loss = gibbsite.objective(name)(energy, batches(0))
    loss.backward()
    assert math.isfinite(float(loss))
    assert all(torch.isfinite(p.grad).all() for p in energy.parameters() if p.grad is not None)
    assert sum(float(p.grad.abs().sum()) for p in energy.parameters() if p.grad is not None) > 0


def test_contrastive_divergence_takes_its_sampler():
    energy = Energy()
    pcd = gibbsite.objective("pcd", {"sampler": {"name": "langevin", "step_size": 0.1}})
    for step in range(3):
        pcd(energy, batches(step)).backward()
    assert energy.layers[0].weight.grad.abs().sum() > 0


def test_a_score_network_under_denoising():
    score = Net(outputs=3)
    dsm = gibbsite.objective("dsm", {"sigma": 0.5}, kind="score")
    optimizer = torch.optim.Adam(score.parameters(), lr=1e-2)
    for step in range(300):
        optimizer.zero_grad()
        dsm(score, batches(step)).backward()
        optimizer.step()
    # The score of N(0, s² + ½²) in each coordinate.
    x = batches(1000)
    expected = -x / (torch.tensor([1.0, 0.25, 4.0]) + 0.25)
    with torch.no_grad():
        missed = ((score(x) - expected) ** 2).mean() / (expected ** 2).mean()
    assert missed < 0.1


def test_options_are_checked():
    with pytest.raises(ValueError, match="did you mean 'ssm'"):
        gibbsite.objective("ssmm")
    with pytest.raises(ValueError, match="projektions"):
        gibbsite.objective("ssm", {"projektions": 2})(Energy(), batches(0))
    with pytest.raises(ValueError, match="jet"):
        gibbsite.objective("ssm", {"derivative": "jet"})(Energy(), batches(0))
    with pytest.raises(ValueError, match="one number for each"):
        gibbsite.objective("ssm")(lambda x: x, batches(0))


@pytest.mark.parametrize("sampler", [{"name": "langevin", "step_size": 0.05}, {"name": "mala", "step_size": 0.5},
                                     {"name": "hmc", "step_size": 0.5, "leapfrog_steps": 3}])
def test_samplers_take_python_energies(sampler):
    precision = torch.tensor([[2.0, 0.8], [0.8, 1.0]])
    chains = gibbsite.sample_from(lambda x: 0.5 * ((x @ precision) * x).sum(1), shape=(2000, 2), sampler=sampler,
                                  steps=100, seed=3)
    assert chains.x.shape == (2000, 2)
    covariance = numpy.cov(chains.x.numpy().T)
    exact = numpy.linalg.inv(precision.numpy())
    deviation = numpy.sqrt((exact ** 2 + numpy.outer(exact.diagonal(), exact.diagonal())) / 2000)
    bias = 0.05 if sampler["name"] == "langevin" else 0
    assert (abs(covariance - exact) < 4.5 * deviation + bias).all()
    assert (chains.acceptance is None) == (sampler["name"] == "langevin")


def test_chains_keep_states_and_repeat():
    def energy(x):
        return 0.5 * (x ** 2).sum(1)

    start = numpy.zeros((4, 3), dtype=numpy.float32)
    chains = gibbsite.sample_from(energy, start, steps=20, thin=5, keep=True, seed=1)
    again = gibbsite.sample_from(energy, start, steps=20, thin=5, keep=True, seed=1)
    assert isinstance(chains.x, numpy.ndarray) and chains.states.shape == (4, 4, 3)
    assert (chains.states[-1] == chains.x).all() and (again.states == chains.states).all()
    assert (start == 0).all()


def test_manifolds():
    chains = gibbsite.sample_from(lambda x: -4 * x[:, 2], shape=(1000, 3), manifold={"name": "sphere", "dimension": 2},
                                  sampler={"name": "langevin", "step_size": 0.05}, steps=200)
    assert torch.allclose(chains.x.norm(dim=1), torch.ones(1000), atol=1e-5)
    # von Mises–Fisher with concentration 4: E x₂ = coth 4 - 1/4.
    assert float(chains.x[:, 2].mean()) == pytest.approx(1 / math.tanh(4) - 0.25, abs=0.03)


def test_errors_of_python_energies_come_through():
    def broken(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gibbsite.sample_from(broken, shape=(3, 2), steps=2)
    with pytest.raises(KeyError, match="mine"):
        gibbsite.objective("ssm")(broken, torch.zeros(3, 2))
    with pytest.raises(ValueError, match="mala"):
        gibbsite.sample_from(score=lambda x: -x, shape=(3, 2), sampler={"name": "mala"}, steps=2)


def test_random_numbers_do_not_depend_on_the_split():
    whole = gibbsite.Rng(3, "s").at_step(2).normal([10, 4])
    part = gibbsite.Rng(3, "s").at_step(2).at_row(6).normal([4, 4])
    assert torch.equal(whole[6:], part)
    assert gibbsite.Rng(3, "s").normal([2], dtype="float64").dtype == torch.float64
