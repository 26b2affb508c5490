"""The parts of the loop, each against another way to compute the same result."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tests.training.toys import toy_net, toy_photos, toy_splits
from torch import nn

import convatlas as ca
from convatlas.base.errors import TrainingError
from convatlas.base.memory_format import to_channels_last
from convatlas.images.preprocessing import Preprocessing
from convatlas.training.data.affine import MAX_AMOUNTS, AffineDistortions, deslant
from convatlas.training.data.dataset import index_batches
from convatlas.training.data.digits import digit_preprocessing, preprocess_digits
from convatlas.training.data.files import FileDataset
from convatlas.training.data.in_memory import InMemoryDataset
from convatlas.training.data.loader import load_batches
from convatlas.training.data.mixup import Mixture, draw_mixture
from convatlas.training.data.shifts import RandomShifts, shift
from convatlas.training.distributed import World
from convatlas.training.loss import NetWithLoss, balanced_weights
from convatlas.training.metrics import score
from convatlas.training.optim import build_optimizer, freeze, learning_rate, update_ema
from convatlas.training.recipe import Recipe
from convatlas.training.seeding import holdout, permutation
from convatlas.training.trainer import Trainer

CPU = torch.device("cpu")


def test_orders_are_functions_of_seed_and_epoch():
    assert sorted(permutation(1, 2, 50).tolist()) == list(range(50))
    assert permutation(1, 2, 50).tolist() == permutation(1, 2, 50).tolist()
    assert len({tuple(permutation(seed, epoch, 50).tolist()) for seed in range(3) for epoch in range(3)}) == 9
    kept, held = holdout(0, 100, 0.2)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(100))
    assert len(held) == 20


@pytest.mark.parametrize("steps", [1, 7, 100])
def test_one_cycle_is_pytorchs(steps):
    recipe = Recipe(epochs=1, lr=0.3, sched="onecycle")
    sgd = torch.optim.SGD([torch.zeros(1)], lr=1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(sgd, 0.3, total_steps=steps, cycle_momentum=False)
    for step in range(steps):
        if steps > 1:
            assert learning_rate(recipe, step, steps) == pytest.approx(sgd.param_groups[0]["lr"], rel=1e-9)
        sgd.step()
        if step < steps - 1:
            theirs.step()


def test_other_schedules():
    recipe = Recipe(epochs=4, lr=1.0, sched="cosine", min_lr=0.1, warmup_epochs=1)
    rates = [learning_rate(recipe, step, 10) for step in range(40)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:] == pytest.approx([0.1 + 0.45 * (1 + math.cos(math.pi * step / 30)) for step in range(30)])
    assert {learning_rate(Recipe(sched="constant", lr=0.5), step, 3) for step in range(30)} == {0.5}
    step = Recipe(epochs=5, lr=1.0, sched="step", decay_epochs=2, decay_rate=0.5)
    assert [learning_rate(step, 3 * epoch, 3) for epoch in range(5)] == [1, 1, 0.5, 0.5, 0.25]


def test_groups_of_weights():
    net = toy_net()
    groups = build_optimizer(net, Recipe(lr=1.0, weight_decay=0.1, layer_decay=0.5)).param_groups
    by_weight = {id(weight): group for group in groups for weight in group["params"]}
    found = {name: (by_weight[id(w)]["lr"], by_weight[id(w)]["weight_decay"]) for name, w in net.named_parameters()}
    assert found == {
        "0.weight": (0.25, 0.1),
        "1.weight": (0.5, 0.0),
        "1.bias": (0.5, 0.0),
        "5.weight": (1.0, 0.1),
        "5.bias": (1.0, 0.0),
    }


def test_freezing():
    net = ca.build("lenet5")
    freeze(net, ("c1", "c3.*"))
    still = {name for name, weight in net.named_parameters() if not weight.requires_grad}
    assert still == {"c1.conv.weight", "c1.conv.bias", "c3.conv.weight", "c3.conv.bias"}
    with pytest.raises(TrainingError, match="nothing called 'stem' to freeze; the stages are c1, s2, c3, s4"):
        freeze(net, ("stem",))
    with pytest.raises(TrainingError, match="no weight left"):
        freeze(net, ("*",))


def test_the_running_mean_is_the_sum_of_all_past_weights():
    net, mean = toy_net(), {name: value.clone() for name, value in toy_net().state_dict().items()}
    states = [{name: value.clone() for name, value in net.state_dict().items()}]
    for step in range(3):
        for value in net.parameters():
            value.data.add_(step + 1)
        net[1].num_batches_tracked.fill_(step)
        update_ema(mean, net, 0.8)
        states.append({name: value.clone() for name, value in net.state_dict().items()})
    shares = [0.8**3, 0.2 * 0.8**2, 0.2 * 0.8, 0.2]
    for name in ("0.weight", "5.bias"):
        expected = sum(share * state[name] for share, state in zip(shares, states, strict=True))
        assert torch.allclose(mean[name], expected)
    assert mean["1.num_batches_tracked"] == 2


def test_losses():
    y, labels = torch.randn(5, 10, dtype=torch.float64), torch.tensor([1, 2, 3, 4, 9])
    target = F.one_hot(labels, 10).double()

    class Fixed(nn.Module):
        def forward(self, x):
            return y

    def found(recipe, weights=None):
        return float(NetWithLoss(Fixed(), recipe, weights)(y, labels, target, 0.0)[0])

    assert found(Recipe()) == pytest.approx(float(F.cross_entropy(y, labels)), rel=1e-12)
    smooth = float(F.cross_entropy(y, labels, label_smoothing=0.1))
    assert found(Recipe(smoothing=0.1)) == pytest.approx(smooth, rel=1e-7)
    weights = torch.rand(10, dtype=torch.float64)
    each = F.cross_entropy(y, labels, reduction="none") * weights[labels]
    assert found(Recipe(), weights) == pytest.approx(float(each.mean()), rel=1e-12)
    goals = -torch.ones(5, 10, dtype=torch.float64)
    goals[torch.arange(5), labels] = 1
    assert found(Recipe(loss="mse")) == pytest.approx(float(((y - goals) ** 2).sum() / 10), rel=1e-12)
    penalties = -y.numpy()  # LeCun et al. 1998, eq. 9, of distances
    right = penalties[np.arange(5), labels.numpy()]
    eq9 = np.mean(right + np.log(np.exp(-1) + np.exp(-penalties).sum(1)))
    assert found(Recipe(loss="map")) == pytest.approx(eq9, rel=1e-12)


def test_balanced_weights():
    assert balanced_weights(torch.tensor([0, 0, 0, 1]), 2).tolist() == pytest.approx([4 / 6, 2.0])
    with pytest.raises(TrainingError, match="class 1 has no photo"):
        balanced_weights(torch.tensor([0, 2]), 3)


def test_each_output_has_its_loss():
    x, labels = torch.randn(2, 1, 28, 28), torch.tensor([1, 2])
    target = F.one_hot(labels, 10).float()
    lenet1 = ca.build("lenet1")
    loss, y = NetWithLoss(lenet1, Recipe())(x, labels, target, 0.0)
    assert float(loss.detach()) == pytest.approx(float(0.5 * (y.detach() - (2 * target - 1)).square().sum(1).mean()))
    dense = ca.build("lenet1", genes={"output": "dense"})
    loss, y = NetWithLoss(dense, Recipe())(x, labels, target, 0.0)
    assert float(loss.detach()) == pytest.approx(float(F.cross_entropy(y.detach(), labels)))


def test_hooks_of_nets():
    caps = ca.build("capsnet")
    x, labels = torch.rand(2, 1, 28, 28), torch.tensor([1, 2])
    target = F.one_hot(labels, 10).float()
    loss, y = NetWithLoss(caps, Recipe())(x, labels, target, 0.0)
    assert float(loss) == pytest.approx(float(caps.loss(caps.outputs(x), x, labels)))
    assert torch.equal(y, caps(x))
    with pytest.raises(TrainingError, match="no mixup"):
        NetWithLoss(caps, Recipe(mixup=0.2))
    with pytest.raises(TrainingError, match="no loss of its own"):
        NetWithLoss(toy_net(), Recipe(loss="net"))
    with pytest.raises(TrainingError, match="has a loss of its own"):
        NetWithLoss(ca.build("yolo_v3_tiny"), Recipe(loss="cross_entropy"))
    helped = ca.build("inception_v1", genes={"auxiliary": "heads", "dropout": 0.0}, classes=3, size=224)
    photos, labels = torch.randn(1, 3, 224, 224), torch.tensor([2])
    target = F.one_hot(labels, 3).float()
    torch.manual_seed(5)  # the auxiliary heads have dropout of their own
    loss, _ = NetWithLoss(helped, Recipe()).train()(photos, labels, target, 0.0)
    torch.manual_seed(5)
    outputs = helped.outputs(photos)
    parts = {name: float(F.cross_entropy(outputs[name], labels)) for name in ("head", "aux1", "aux2")}
    assert float(loss) == pytest.approx(parts["head"] + 0.3 * parts["aux1"] + 0.3 * parts["aux2"], rel=1e-5)


def test_mixtures():
    x, others = torch.zeros(3, 1, 8, 8), torch.ones(3, 1, 8, 8)
    over = Mixture(torch.tensor([1, 2, 0]), 0.75, None)
    assert over.mix_photos(x, others).unique().tolist() == [0.25]
    assert over.mix_targets(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 8, 8).tolist() == [[0.75, 0.25]]
    paste = Mixture(torch.tensor([1, 2, 0]), 0.75, (0.25, 0.25, 0.75, 0.75))
    mixed = paste.mix_photos(x, others)
    assert mixed[0].sum() == 16
    assert not x.any()
    assert paste.mix_targets(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 8, 8).tolist() == [[0.75, 0.25]]
    assert draw_mixture(Recipe(), 0, 0, 4) is None
    assert draw_mixture(Recipe(mixup=0.2), 1, 2, 4).share == draw_mixture(Recipe(mixup=0.2), 1, 2, 4).share
    both = [draw_mixture(Recipe(mixup=1.0, cutmix=1.0), 0, step, 4).box is None for step in range(200)]
    assert 60 < sum(both) < 140


def test_distortions_move_what_they_say(monkeypatch):
    blob = torch.zeros(1, 1, 28, 28)
    blob[0, 0, 10:16, 11:17] = 1.0

    def centre(x):
        y, along = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
        return float((x[0, 0] * y).sum() / x.sum()), float((x[0, 0] * along).sum() / x.sum())

    def changed(*amounts):
        distort = AffineDistortions(1, 1.0, 0, 0)
        distort.amounts = torch.tensor([amounts])
        return distort(blob + 0.5, torch.tensor([0]), 0.5) - 0.5

    down, right = centre(blob)
    assert centre(changed(2, -1, 0, 0, 0)) == pytest.approx((down - 1, right + 2), abs=1e-4)
    assert float(changed(0, 0, 0.2, 0, 0).sum()) == pytest.approx(1.44 * 36, rel=0.03)
    squeezed = changed(0, 0, 0, 0.2, 0)[0, 0]
    assert (squeezed.sum(0) > 0.3).sum() > 6 > (squeezed.sum(1) > 0.3).sum() - 1
    assert torch.equal(changed(0, 0, 0, 0, 0), blob)


def test_distortions_are_functions_of_seed_epoch_and_number():
    examples = InMemoryDataset(*toy_photos(20), Recipe(distort=1.0))
    ((all_at_once, _),) = examples.train_batches([torch.arange(20)], 4)
    for rows in (torch.tensor([3, 7]), torch.tensor([19])):
        ((some, _),) = examples.train_batches([rows], 4)
        assert torch.allclose(some, all_at_once[rows], atol=1e-6)
    ((other, _),) = examples.train_batches([torch.arange(20)], 5)
    assert not torch.allclose(other, all_at_once)
    assert (AffineDistortions(2000, 1.0, 0, 0).amounts.abs().amax(0) > 0.99 * MAX_AMOUNTS).all()
    ((plain, _),) = examples.eval_batches([torch.arange(20)])
    assert torch.equal(plain, examples.photos)


def test_shifts_move_by_whole_pixels_in_both_directions():
    x = torch.arange(2 * 5 * 4.0).reshape(2, 1, 5, 4)
    moved = shift(x, torch.tensor([[1, -2], [0, 1]]), -1.0)
    assert torch.equal(moved[0, 0, 1:, :2], x[0, 0, :-1, 2:])
    assert torch.equal(moved[1, 0, :, 1:], x[1, 0, :, :-1])
    assert (moved == -1).sum() == (20 - 8) + 5
    amounts = RandomShifts(3000, 2, 0, 0).amounts
    assert all(set(side.tolist()) == {-2, -1, 0, 1, 2} for side in amounts.unbind(1))
    assert amounts.float().mean(0).abs().max() < 0.1


def test_shifts_are_functions_of_seed_epoch_and_index():
    examples = InMemoryDataset(*toy_photos(20), Recipe(shift=2))
    ((together, _),) = examples.train_batches([torch.arange(20)], 4)
    ((alone, _),) = examples.train_batches([torch.tensor([7])], 4)
    ((later, _),) = examples.train_batches([torch.arange(20)], 5)
    assert torch.equal(alone[0], together[7])
    assert not torch.equal(later, together)


def test_upright_digits_lean_no_more():
    y, along = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    bars = torch.stack([((along - 14 - lean * (y - 12)).abs() < 1.5) & (y > 4) & (y < 20) for lean in (-0.5, 0, 0.4)])
    straight = deslant(bars.float()[:, None])
    for digit in straight[:, 0]:
        total = digit.sum()
        row, column = (digit * y).sum() / total, (digit * along).sum() / total
        slant = (digit * (y - row) * (along - column)).sum() / (digit * (y - row).square()).sum()
        assert abs(float(slant)) < 0.02
        assert abs(float(column) - 14) < 0.7
    assert torch.allclose(straight[1], bars[1].float()[None], atol=1e-4)
    assert not deslant(torch.zeros(1, 1, 28, 28)).any()


@pytest.mark.parametrize("net", ["lenet5", "lenet1", "mlp_300", "capsnet", "resnet18"])
def test_digits_are_prepared_as_the_lineage_will(net):
    """Preprocessing all digits at once gives the values of `Preprocessing` for each."""
    digits = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    # Digits of the data set have black borders.
    digits[:, (0, 1, 2, -3, -2, -1)] = digits[:, :, (0, 1, 2, -3, -2, -1)] = 0
    made = ca.build(net, classes=10, channels=1, size=40 if net == "resnet18" else None)
    preprocessing = digit_preprocessing(made, made.size)
    x = preprocess_digits(digits, preprocessing)
    assert x.shape[1:] == (1, *made.size)
    for one, digit in zip(x, digits, strict=True):
        np.testing.assert_array_equal(one.numpy(), preprocessing(np.repeat(digit[:, :, None], 3, 2)))
    if net == "lenet5":
        square = np.zeros((28, 28, 3), np.uint8)
        square[10:18, 10:18] = 255
        prepared = preprocessing(square)
        assert (prepared.min(), prepared.max()) == (pytest.approx(-0.1, abs=1e-6), pytest.approx(1.175, abs=1e-6))


def test_photos_are_the_same_whoever_reads_them(tmp_path):
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    recipe = Recipe(aa=9, hflip=0.5, scale=0.3)
    plan = [torch.tensor([0, 1, 2]), torch.tensor([5, 3])]
    preprocessing = Preprocessing((16, 24), resize=18)
    here, there = (FileDataset(paths, torch.zeros(6), preprocessing, recipe, workers) for workers in (0, 2))
    for (mine, _), (theirs, _) in zip(here.train_batches(plan, 3), there.train_batches(plan, 3), strict=True):
        assert mine.shape[1:] == (3, 16, 24)
        assert torch.equal(mine, theirs)
    ((alone, _),) = here.subset(torch.arange(6)).train_batches([torch.tensor([5])], 3)
    assert torch.equal(alone[0], list(here.train_batches(plan, 3))[1][0][0])
    assert not torch.equal(alone, next(here.train_batches([torch.tensor([5])], 4))[0])
    ((plain, _),) = here.eval_batches([torch.tensor([2])])
    assert torch.equal(plain[0], torch.from_numpy(preprocessing(np.asarray(Image.open(paths[2])))))
    before = torch.get_rng_state()
    list(here.train_batches(plan, 0))
    assert torch.equal(before, torch.get_rng_state())


def test_each_augmentation_of_photos(tmp_path):
    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    numbers, plan = torch.zeros(1), [torch.tensor([0])]

    def shown(epoch: int = 0, **settings):
        photos = FileDataset([photo], numbers, Preprocessing((16, 24), resize=16), Recipe(**settings), 0)
        ((x, _),) = photos.train_batches(plan, epoch)
        return x

    plain = shown()
    assert torch.equal(shown(hflip=1.0), plain.flip(3))
    assert not torch.equal(shown(scale=0.3), plain)
    # RandAugment draws new operations each epoch; some leave the photo unchanged.
    changed = [not torch.equal(shown(epoch, aa=9), plain) for epoch in range(8)]
    assert sum(changed) >= 4
    assert torch.equal(shown(3, aa=9), shown(3, aa=9))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_cannot_be_read_is_told_in_one_line(tmp_path, workers):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x")
    photos = FileDataset([bad], torch.zeros(1), Preprocessing((8, 8)), Recipe(), workers)
    with pytest.raises(ca.ConvAtlasError, match=r"bad\.png' is not an image") as error:
        list(photos.eval_batches([torch.tensor([0])]))
    assert "\n" not in str(error.value)


def test_scores_are_counts():
    net, parts = toy_net().eval(), toy_splits()
    y = net(parts.test.photos)
    found = score(NetWithLoss(net, Recipe()), parts.test, 4, World(), CPU)
    assert found.top1 == pytest.approx(100 * (y.argmax(1) == parts.test.labels).double().mean().item())
    assert found.loss == pytest.approx(float(F.cross_entropy(y, parts.test.labels)), rel=1e-5)
    for true in range(4):
        for taken in range(4):
            assert found.confusion[true][taken] == int(((parts.test.labels == true) & (y.argmax(1) == taken)).sum())


def test_a_frozen_normalization_stays_frozen_while_scoring():
    net, parts = toy_net(), toy_splits()
    net[1].eval()
    modes = [module.training for module in net.modules()]
    score(NetWithLoss(net, Recipe()), parts.test, 4, World(), CPU)
    assert [module.training for module in net.modules()] == modes


def test_batches_leave_none_out():
    assert [row.tolist() for row in index_batches(torch.arange(5), 2)] == [[0, 1], [2, 3], [4]]


def learned(recipe: Recipe, net: nn.Module | None = None, border: int = 0) -> nn.Module:
    """Toy net (or `net`) after one step on eight photos, padded by `border` pixels."""
    net, parts = net or toy_net(), toy_splits(recipe)
    parts.train.photos = F.pad(parts.train.photos, (border,) * 4)
    trainer = Trainer(net, parts, recipe, CPU, World())
    trainer.set_train_mode()
    torch.manual_seed(7)  # for dropout
    trainer.train_step(next(load_batches(parts.train, recipe, 4, World(), 0, 0)), recipe.lr, 0.0)
    return net


def moved(net: nn.Module) -> float:
    pairs = zip(net.parameters(), toy_net().parameters(), strict=True)
    return float(sum((a - b).square().sum() for a, b in pairs).sqrt())


def test_clipping_bounds_a_step():
    plain = Recipe(batch_size=8, opt="sgd", momentum=0.0, lr=1.0)
    free = moved(learned(plain))
    assert free > 0.2
    assert moved(learned(replace(plain, clip_grad=0.1))) == pytest.approx(0.1, rel=1e-3)
    assert moved(learned(replace(plain, clip_grad=100.0))) == pytest.approx(free, rel=1e-6)


def test_layouts_and_precisions():
    plain, nets = Recipe(batch_size=8, opt="sgd", momentum=0.0, lr=0.1), []
    for settings in ({"channels_last": False}, {}, {"amp": "bfloat16"}):
        net = ca.build("lenet4_dense", classes=4, channels=1, genes={"output": "dense"}, seed=1)
        nets.append(learned(replace(plain, **settings), net, border=11))
    outer, inner, half = nets
    layouts = [net.f5.conv.weight.is_contiguous() for net in nets]
    assert layouts == [True, False, False]
    for a, b in zip(outer.parameters(), inner.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert all(weight.dtype == torch.float32 for weight in half.parameters())
    off = max(float((a - b).abs().max()) for a, b in zip(outer.parameters(), half.parameters(), strict=True))
    assert 0 < off < 0.02


def test_channels_innermost_whatever_else_there_is():
    """Nets may have weights of five dimensions, which PyTorch's own method refuses; foreign nets keep their layout."""
    net = ca.build("matrix_capsnet_small", channels=1)
    to_channels_last(net)
    ranks = {weight.ndim for weight in net.parameters()}
    assert {4, 5} <= ranks
    for weight in net.parameters():
        assert weight.ndim != 4 or weight.is_contiguous(memory_format=torch.channels_last)
    foreign = toy_net()
    learned(Recipe(batch_size=8), foreign)
    assert foreign[0].weight.is_contiguous()


def test_a_net_with_other_outputs_than_classes():
    with pytest.raises(TrainingError, match="the net has 5 outputs for a photo; the data have 4 classes"):
        learned(Recipe(batch_size=8), nn.Sequential(nn.Flatten(), nn.Linear(100, 5)))


def test_a_batch_of_one_photo_is_not_for_batch_norms_of_one_pixel():
    """It is refused before the first step, not at the end of the first epoch."""

    def checked(pooled: int, count: int, recipe: Recipe):
        net = nn.Sequential(nn.AdaptiveAvgPool2d(pooled), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(pooled**2, 4))
        before = {name: value.clone() for name, value in net.state_dict().items()}
        Trainer(net, toy_splits(recipe), recipe, CPU, World()).check_smallest_batch(
            InMemoryDataset(*toy_photos(count), recipe)
        )
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

    checked(1, 16, Recipe(batch_size=8))
    checked(2, 17, Recipe(batch_size=8))
    checked(1, 17, Recipe(batch_size=8, freeze=("1",)))
    for count, batch_size in ((17, 8), (3, 1), (1, 64)):
        with pytest.raises(
            TrainingError, match=f"of {count} photos has 1, .* batch_size={batch_size} does not suit them"
        ):
            checked(1, count, Recipe(batch_size=batch_size))
