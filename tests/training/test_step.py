"""The losses of a batch: what teaches what, and that shares of a step add up to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("matplotlib", reason="training draws its curves with matplotlib")

import tiny  # noqa: E402

from mammosono.tools.data.augment import Example, augment  # noqa: E402
from mammosono.tools.data.sample import Sample  # noqa: E402
from mammosono.tools.network.config import LOSS_PARTS  # noqa: E402
from mammosono.tools.network.model import RefinedMaskRcnn  # noqa: E402
from mammosono.tools.training import step  # noqa: E402
from mammosono.tools.training.datasets import stack_images  # noqa: E402

INPUT = tiny.GEOMETRY.input_size

pytestmark = pytest.mark.usefixtures("one_thread")


def batch(*drawn: Sample) -> tuple[RefinedMaskRcnn, torch.Tensor, list[Example]]:
    torch.manual_seed(3)
    examples = [augment(s, INPUT, (0, 100), np.random.default_rng(0)) for s in drawn]
    return RefinedMaskRcnn(tiny.NETWORK), stack_images(examples, 0.35, 0.25), examples


def losses_of(*drawn: Sample) -> tuple[RefinedMaskRcnn, step.Losses]:
    network, images, examples = batch(*drawn)
    return network, step.batch_losses(
        network, images, examples, tiny.TRAIN, rngs(len(examples)), step.Counts.of(examples)
    )


def rngs(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(k) for k in range(count)]


LESION = tiny.disc_sample((30, 45, 14))
CIRCLE = tiny.disc_sample((30, 45, 14), exact=False)
NORMAL = tiny.disc_sample(label=None)
UNKNOWN = replace(NORMAL, label="malignant")


def test_every_part_teaches_its_own_head() -> None:
    network, parts = losses_of(LESION, NORMAL)
    parts.total(0.5).backward()
    for name in LOSS_PARTS:
        assert float(getattr(parts, name).detach()) > 0, name
    assert all(p.grad is not None and p.grad.any() for p in network.mask_head.parameters())
    heads = (network.trunk.rpn, network.trunk.image_head, network.box_head)
    for head in heads:
        assert all(p.grad is not None for p in head.parameters())


def test_the_total_is_the_sum_with_the_image_loss_weighed() -> None:
    _, parts = losses_of(LESION, NORMAL)
    values = {name: float(getattr(parts, name).detach()) for name in LOSS_PARTS}
    expected = sum(values.values()) - 0.75 * values["image"]
    assert float(parts.total(0.25).detach()) == pytest.approx(expected)


def test_a_circle_teaches_its_box_and_never_a_mask() -> None:
    _, parts = losses_of(CIRCLE, CIRCLE)
    assert float(parts.mask.detach()) == 0
    assert float(parts.box.detach()) > 0
    assert float(parts.rpn_box.detach()) > 0


def test_normal_images_teach_background_alone() -> None:
    network, parts = losses_of(NORMAL, NORMAL)
    assert float(parts.box.detach()) == float(parts.rpn_box.detach()) == 0
    assert float(parts.mask.detach()) == 0
    assert float(parts.rpn_class.detach()) > 0
    parts.total(1.0).backward()
    assert torch.isfinite(network.trunk.rpn.conv.weight.grad).all()


def test_an_image_without_a_class_is_not_counted() -> None:
    _, parts = losses_of(UNKNOWN, NORMAL, UNKNOWN)
    assert parts.image_count == 1
    _, alone = losses_of(UNKNOWN, UNKNOWN)
    assert alone.image_count == 0
    assert float(alone.image.detach()) == 0


def test_the_scale_of_the_losses_does_not_depend_on_the_batch() -> None:
    _, one = losses_of(LESION)
    _, four = losses_of(*[LESION] * 4)
    for name in ("rpn_class", "rpn_box", "classes", "box"):
        single, repeated = (float(getattr(p, name).detach()) for p in (one, four))
        assert repeated == pytest.approx(single, rel=0.35), name


def test_shares_of_a_step_add_up_to_it_however_its_images_are_dealt_out() -> None:
    """Losses and gradients, without the layers that mix or drop within a batch. 1e-5 of the
    largest gradient: what float32 leaves of sums taken in another order."""
    network, images, examples = batch(LESION, NORMAL, CIRCLE, LESION, UNKNOWN, LESION)
    network.eval()
    counts = step.Counts.of(examples)

    def learned(*deal: int) -> tuple[dict[str, float], torch.Tensor]:
        network.zero_grad()
        totals, drawn = dict.fromkeys(LOSS_PARTS, 0.0), rngs(6)
        for start, stop in zip((0, *deal), (*deal, 6), strict=True):
            part = slice(start, stop)
            losses = step.batch_losses(
                network, images[part], examples[part], tiny.TRAIN, drawn[part], counts
            )
            losses.total(0.5).backward()
            for name in LOSS_PARTS:
                totals[name] += float(getattr(losses, name).detach())
        grads = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        return totals, torch.cat(grads)

    whole, gradient = learned()
    for deal in ((3,), (1, 2), (1, 2, 3, 4, 5)):
        totals, grads = learned(*deal)
        assert totals == pytest.approx(whole, rel=1e-5), deal
        assert float((grads - gradient).abs().max()) <= 1e-5 * float(gradient.abs().max()), deal


def test_rois_are_pooled_from_their_own_image() -> None:
    pyramid = torch.arange(3.0).reshape(3, 1, 1).expand(3, tiny.GEOMETRY.pyramid_rows, 2)
    box = np.array([[8, 8, 40, 40]], np.float32)
    pooled = step._pooled(pyramid, [box, box[:0], np.repeat(box, 2, 0)], 3, tiny.TRAIN)
    assert pooled.shape == (3, 9, 2)
    assert torch.allclose(pooled.mean((1, 2)), torch.tensor([0.0, 2.0, 2.0]))
