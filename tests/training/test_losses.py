"""The losses: what the Renyi box loss promises, and why the literal one was not taken."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the losses need torch")

from torch.nn import functional as F  # noqa: E402

from mammosono.tools.losses import (  # noqa: E402
    HUBER_BETA,
    LESION,
    Kernel,
    box_loss,
    class_loss,
    mask_loss,
    objectness_loss,
    penalty,
    renyi_entropy,
)

KERNELS: tuple[Kernel, ...] = ("huber", "gaussian")
ALPHAS = (0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 8.0)

residuals = st.lists(st.floats(-3, 3), min_size=4, max_size=4)
either_kernel = pytest.mark.parametrize("kernel", KERNELS)
modest = settings(max_examples=40, deadline=None)


def boxes(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def entropy(row: list[float], alpha: float, kernel: Kernel = "huber") -> float:
    return float(renyi_entropy(boxes(row), alpha, kernel))


# The penalty


@given(residual=st.floats(-5, 5))
@modest
def test_the_huber_penalty_is_square_up_to_beta_and_straight_beyond(residual: float) -> None:
    size = abs(residual)
    expected = size**2 / (2 * HUBER_BETA) if size < HUBER_BETA else size - HUBER_BETA / 2
    assert float(penalty(boxes([residual]))) == pytest.approx(expected, abs=1e-12)


def test_the_gaussian_penalty_is_half_the_square() -> None:
    assert penalty(boxes([-2.0, 0.0, 3.0]), "gaussian").tolist() == [[2.0, 0.0, 4.5]]


# The entropy


@either_kernel
@given(row=residuals, step=st.sampled_from((-1e-6, 1e-6)))
@modest
def test_next_to_one_it_is_the_mean_penalty(row: list[float], step: float, kernel: Kernel) -> None:
    assert entropy(row, 1 + step, kernel) == pytest.approx(entropy(row, 1.0, kernel), abs=1e-6)
    assert entropy(row, 1.0, kernel) == pytest.approx(float(penalty(boxes(row), kernel).mean()))


@pytest.mark.parametrize("alpha", [1 - 2e-4, 1 + 2e-4])
def test_the_formula_meets_its_limit_where_the_branch_ends(alpha: float) -> None:
    row = [0.9, -0.1, 0.4, 0.0]
    assert entropy(row, alpha) == pytest.approx(entropy(row, 1.0), abs=1e-4)
    single = renyi_entropy(boxes(row).float(), alpha)
    assert float(single) == pytest.approx(entropy(row, alpha), abs=2e-3)


@either_kernel
@given(row=residuals)
@modest
def test_a_huge_order_is_the_smallest_penalty(row: list[float], kernel: Kernel) -> None:
    least = float(penalty(boxes(row), kernel).min())
    assert entropy(row, 1e4, kernel) == pytest.approx(least, abs=2e-4)
    assert entropy(row, math.inf, kernel) == pytest.approx(least)


@either_kernel
@pytest.mark.parametrize("alpha", [*ALPHAS, math.inf])
def test_it_is_zero_for_a_box_that_fits(alpha: float, kernel: Kernel) -> None:
    assert entropy([0.0] * 4, alpha, kernel) == pytest.approx(0, abs=1e-15)


@either_kernel
@given(row=residuals, k=st.integers(0, 3), more=st.floats(0.05, 1), alpha=st.sampled_from(ALPHAS))
@settings(max_examples=100, deadline=None)
def test_it_grows_with_the_size_of_every_residual(
    row: list[float], k: int, more: float, alpha: float, kernel: Kernel
) -> None:
    worse = list(row)
    worse[k] = math.copysign(abs(row[k]) + more, row[k])
    assert entropy(worse, alpha, kernel) > entropy(row, alpha, kernel)


@given(row=residuals, order=st.permutations(range(4)), alpha=st.sampled_from(ALPHAS))
@modest
def test_the_order_of_the_coordinates_does_not_matter(
    row: list[float], order: list[int], alpha: float
) -> None:
    shuffled = [row[k] for k in order]
    assert entropy(shuffled, alpha) == pytest.approx(entropy(row, alpha), abs=1e-12)


@either_kernel
@given(row=residuals)
@modest
def test_it_never_grows_with_its_order(row: list[float], kernel: Kernel) -> None:
    ladder = [entropy(row, alpha, kernel) for alpha in (*ALPHAS, math.inf)]
    assert all(low <= high + 1e-12 for high, low in pairwise(ladder))


def test_boxes_do_not_mix() -> None:
    rows = [[1.0, 0.0, 0.2, -2.0], [0.0, 0.1, 0.0, 0.0]]
    together = renyi_entropy(boxes(*rows), 2.0)
    assert together.tolist() == pytest.approx([entropy(row, 2.0) for row in rows])


@either_kernel
@pytest.mark.parametrize("alpha", ALPHAS)
def test_its_gradient_is_right(alpha: float, kernel: Kernel) -> None:
    rows = boxes([0.7, -0.3, 0.05, -1.2], [0.02, -0.04, 0.4, 2.0]).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: renyi_entropy(e, alpha, kernel), (rows,))


def test_above_one_a_gross_coordinate_pulls_less_and_below_one_more() -> None:
    def pull(alpha: float) -> torch.Tensor:
        row = boxes([0.5, 0.5, 0.5, 3.0]).requires_grad_()
        renyi_entropy(row, alpha).sum().backward()
        assert row.grad is not None
        return row.grad[0]

    assert pull(1.0).tolist() == pytest.approx([0.25] * 4)
    assert pull(2.0)[3] < 0.1 * pull(2.0)[0]
    assert pull(0.5)[3] > pull(0.5)[0]
    for alpha in ALPHAS:
        assert float(pull(alpha).sum()) == pytest.approx(1.0)  # weights that sum to one


@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_huge_residual_stays_finite(alpha: float) -> None:
    rows = torch.full((1, 4), 1e4, requires_grad=True)
    loss = renyi_entropy(rows, alpha).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()


def test_a_box_that_nearly_fits_keeps_all_digits_in_single_precision() -> None:
    row = boxes([1e-4, -2e-4, 3e-4, 0.0]).float()
    assert float(renyi_entropy(row, 2.0)) == pytest.approx(entropy(row[0].tolist(), 2.0), rel=1e-6)


def test_half_precision_residuals_are_weighed_in_single_precision() -> None:
    assert renyi_entropy(torch.ones(2, 4, dtype=torch.bfloat16), 2.0).dtype == torch.float32


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan])
def test_an_order_that_is_not_above_zero_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        renyi_entropy(torch.zeros(1, 4), alpha)


# Why not the literal reading (docs/adr/0005)


def test_entropy_of_normalised_residuals_cannot_see_their_size() -> None:
    def literal(row: list[float]) -> float:
        share = boxes(row).abs() / boxes(row).abs().sum()
        return float(-share.square().sum().log())

    assert literal([1.0] * 4) == pytest.approx(math.log(4))
    assert literal([0.1] * 4) == pytest.approx(math.log(4))  # ten times better, same loss
    assert literal([100.0, 0, 0, 0]) == 0  # hopeless, and no loss at all
    assert math.isnan(literal([0.0] * 4))  # perfect, and undefined
    assert 0 < entropy([0.1] * 4, 2.0) < entropy([1.0] * 4, 2.0)
    assert entropy([100.0, 0, 0, 0], 2.0) == pytest.approx(math.log(4 / 3))


def test_minimum_error_entropy_cannot_see_a_common_offset() -> None:
    def quadratic_mee(row: list[float]) -> float:
        """Quadratic Renyi entropy of the errors' Parzen density, kernel width 1."""
        apart = boxes(row).T - boxes(row)
        return float(-(-apart.square() / 4).exp().mean().log())

    assert quadratic_mee([5.0] * 4) == quadratic_mee([0.0] * 4) == 0
    assert quadratic_mee([1.0, 2, 3, 4]) == pytest.approx(quadratic_mee([11.0, 12, 13, 14]))
    assert entropy([5.0] * 4, 2.0) > entropy([0.0] * 4, 2.0)


# The loss of boxes


def test_of_order_one_it_is_smooth_l1() -> None:
    generator = torch.Generator().manual_seed(4)
    predicted, target = (torch.randn(9, 4, generator=generator) for _ in range(2))
    stock = F.smooth_l1_loss(predicted, target, beta=1 / 9, reduction="sum") / 32
    assert float(box_loss(predicted, target, 1.0, "huber", 32)) == pytest.approx(float(stock))


@given(normaliser=st.floats(1, 512))
@modest
def test_it_is_the_sum_over_boxes_of_four_entropies_per_sampled_roi(normaliser: float) -> None:
    target = boxes([0.0, 1, 0, 0], [0.5, 0.5, 0, -0.1])
    expected = 4 * renyi_entropy(-target, 2.0).sum() / normaliser
    loss = box_loss(torch.zeros_like(target), target, 2.0, "huber", normaliser)
    assert float(loss) == pytest.approx(float(expected))


@pytest.mark.parametrize("alpha", [0.0, -2.0, 8.01, math.inf, math.nan])
def test_an_order_that_cannot_train_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="0 < alpha <= 8"):
        box_loss(torch.zeros(1, 4), torch.zeros(1, 4), alpha, "huber", 1.0)


def test_the_largest_order_that_trains_is_eight() -> None:
    assert float(box_loss(torch.ones(1, 4), torch.zeros(1, 4), 8.0, "huber", 1.0)) > 0


# The others


def test_objectness_is_mean_binary_cross_entropy() -> None:
    logits = torch.tensor([0.0, 2.0])
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert float(objectness_loss(logits, torch.tensor([False, True]))) == pytest.approx(expected)


def test_a_lesion_of_unknown_kind_asks_for_either_kind_and_moves_no_odds_between_them() -> None:
    logits = torch.tensor([[0.3, 1.2, -0.4]], requires_grad=True)
    loss = class_loss(logits, torch.tensor([LESION]))
    chances = torch.softmax(logits.detach(), dim=1)[0]
    assert float(loss.detach()) == pytest.approx(-math.log(float(chances[1] + chances[2])))
    loss.backward()
    assert logits.grad is not None
    toward = -logits.grad[0]
    assert toward[0] < 0 < toward[1]
    # In proportion to what each is already: their odds to one another stay where they are pulled.
    assert float(toward[1] / toward[2]) == pytest.approx(float(chances[1] / chances[2]), rel=1e-5)


def test_known_kinds_are_taught_as_without_unknown_ones_beside_them() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, -1, LESION])
    parts = [class_loss(logits[k : k + 1], labels[k : k + 1]) for k in (0, 1, 2, 4)]
    assert float(class_loss(logits, labels)) == pytest.approx(float(sum(parts)) / 4, rel=1e-5)


def test_class_loss_leaves_unknown_labels_out() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [9.0, -9.0, 0.0]])
    assert float(class_loss(logits, torch.tensor([1, -1]))) == pytest.approx(math.log(3))


def test_mask_loss_is_the_mean_over_pixels() -> None:
    logits = torch.zeros(2, 3, 3)
    assert float(mask_loss(logits, torch.ones(2, 3, 3))) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("shape", "loss"),
    [
        ((0, 4), lambda x: box_loss(x, torch.zeros(0, 4), 2.0, "huber", 1.0)),
        ((0,), lambda x: objectness_loss(x, torch.zeros(0))),
        ((2, 3), lambda x: class_loss(x, torch.tensor([-1, -1]))),
        ((0, 3), lambda x: class_loss(x, torch.zeros(0, dtype=torch.int64))),
        ((0, 5, 5), lambda x: mask_loss(x, torch.zeros(0, 5, 5))),
    ],
)
def test_nothing_to_learn_is_a_zero_that_keeps_its_graph(shape, loss) -> None:
    inputs = torch.ones(shape, requires_grad=True)
    value = loss(inputs)
    value.backward()
    assert float(value.detach()) == 0
    assert inputs.grad is not None
    assert not inputs.grad.any()
