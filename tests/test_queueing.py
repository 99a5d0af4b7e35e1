"""The arithmetic of waiting: tables, laws that hold for every queue, and the same queue request by request."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kennel.capacity import events, queueing
from kennel.capacity.outcome import Goal, Latencies
from kennel.capacity.scaled import World, course
from kennel.capacity.service import Floats, Service
from kennel.capacity.sweep import Setting
from kennel.capacity.traffic import Wanted, drawn


def numbers(*values: float) -> Floats:
    return np.array(values, np.float64)


@pytest.mark.parametrize(
    ("servers", "load", "blocked"),
    [(1, 1.0, 0.5), (2, 1.0, 0.2), (5, 3.0, 0.1101), (10, 5.0, 0.0184), (20, 12.0, 0.0098), (100, 84.06, 0.01)],
)
def test_erlang_b_is_as_in_the_tables(servers: int, load: float, blocked: float) -> None:
    assert float(queueing.erlang_b(np.array(servers), numbers(load))[0]) == pytest.approx(blocked, abs=2e-4)


@pytest.mark.parametrize(
    ("servers", "load", "waits"), [(1, 0.8, 0.8), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (5, 4.0, 0.5541), (10, 8.0, 0.4092)]
)
def test_erlang_c_is_as_in_the_tables(servers: int, load: float, waits: float) -> None:
    assert float(queueing.erlang_c(np.array([servers]), numbers(load))[0]) == pytest.approx(waits, abs=2e-4)


def test_with_as_much_work_as_servers_everybody_waits() -> None:
    assert queueing.erlang_c(np.array([3, 3]), numbers(3, 300)).tolist() == [1, 1]


@given(st.integers(1, 200), st.floats(0.01, 0.99))
def test_more_servers_never_make_it_worse(servers: int, use: float) -> None:
    load = numbers(use * servers, use * servers)
    fewer, more = queueing.erlang_c(np.array([servers, servers + 1]), load)
    assert 0 <= more <= fewer <= 1


def test_littles_law_holds_of_one_server_with_exponential_work() -> None:
    """The mean wait of M/M/1 is ρ/(μ − λ), so that the mean number waiting is λ times that: ρ²/(1 − ρ)."""
    atoms = -np.log(1 - (np.arange(2000) + 0.5) / 2000) * 0.1
    service = Service(1, tuple(atoms.tolist()), (1 / 2000,) * 2000)
    found = queueing.queue(numbers(7.0), np.array([1]), service)
    waiting = 7.0 * float(found.chance[0] * found.wait_s[0])
    assert waiting == pytest.approx(0.7**2 / 0.3, rel=0.01)


def test_constant_work_halves_the_wait_as_pollaczek_and_khinchine_have_it() -> None:
    constant = queueing.queue(numbers(5.0), np.array([1]), Service.lognormal(0.1, 0, 1))
    varied = queueing.queue(numbers(5.0), np.array([1]), Service(1, (0.1 - 0.0999, 0.1 + 0.0999), (0.5, 0.5)))
    assert float(varied.wait_s[0] / constant.wait_s[0]) == pytest.approx(2, rel=0.01)


@given(st.floats(0.5, 0.999), st.floats(0.002, 2))
def test_a_quantile_finds_what_the_tail_says(share: float, mean: float) -> None:
    tail = np.exp(-queueing.grid() / mean)[None]
    exact = -mean * np.log(1 - share)
    if 0.003 < exact < 100:
        assert float(queueing.quantiles(tail, share)[0]) == pytest.approx(exact, rel=0.02)


def test_what_nobody_answers_has_no_quantile() -> None:
    assert np.isinf(queueing.quantiles(np.ones((1, queueing.GRID_POINTS)), 0.5)).all()


def test_tails_fall_and_never_rise() -> None:
    found = queueing.queue(numbers(1, 20, 33, 40), np.array([1, 1, 1, 1]), Service.lognormal(0.06, 0.3, 2))
    tails = queueing.tails(found, Service.lognormal(0.06, 0.3, 2))
    assert (np.diff(tails, axis=1) <= 1e-12).all()
    behind = queueing.behind(tails, np.full((4, queueing.PIECES), 3.0))
    assert (behind >= tails - 1e-9).all()
    assert (behind[:, queueing.grid() < 3] == 1).all()


@pytest.mark.parametrize(
    ("use", "cv", "at_a_time", "within"),
    [(0.3, 0.2, 2, 0.12), (0.6, 0.2, 2, 0.12), (0.9, 0.2, 2, 0.15), (0.5, 1.0, 4, 0.12), (0.9, 1.0, 4, 0.15)],
)
def test_it_is_as_request_by_request(use: float, cv: float, at_a_time: int, within: float) -> None:
    """The same minutes, served one by one, several times over: p50, p95 and p99 of all requests."""
    service = Service.lognormal(0.1, cv, at_a_time)
    world = World(service)
    trace = drawn(Wanted("steady", base=use * service.most_per_s * 60, minutes=240), 5)
    told = Latencies(trace, world, Goal()).outcome(course(trace, Setting().bounded(1, 1), world))
    seen = np.concatenate([np.concatenate(events.answers(trace, [1] * 240, world, seed)) for seed in (1, 2)])
    assert told.latency == pytest.approx(np.quantile(seen, [0.5, 0.95, 0.99]), rel=within)
    assert told.failed_count < 0.5


def test_beyond_saturation_it_fails_as_request_by_request() -> None:
    service = Service.lognormal(0.06, 0.2, 2)
    world = World(service)
    trace = drawn(Wanted("spike", base=1000, peak=3000, start=10, length=10, minutes=40), 5)
    told = Latencies(trace, world, Goal()).outcome(course(trace, Setting().bounded(1, 1), world))
    seen = np.concatenate(events.answers(trace, [1] * 40, world, 1))
    assert told.failed_count == pytest.approx(float(np.isinf(seen).sum()), rel=0.1)
    assert told.latency[2] == pytest.approx(float(np.quantile(seen[np.isfinite(seen)], 0.99)), rel=0.05)


def test_a_measured_service_is_as_fast_side_by_side_as_was_seen() -> None:
    service = Service.lognormal(0.05, 0.3, 4).at_rate(40)
    assert service.most_per_s == pytest.approx(40)
    assert service.scv == pytest.approx(Service.lognormal(0.05, 0.3, 4).scv)
