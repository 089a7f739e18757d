"""Method `guided`: a CycleGAN whose G corrects a drawn mask, and whose F learns from pairs with a known answer.

    code                                           paper (Zhu et al. 2017, arXiv 1703.10593)
    unmasked, masked                               x, y: a face without a mask, a face with one
    generator_mask, generator_unmask               G, F
    discriminator_masked, discriminator_unmasked   D_Y, D_X
    fake_masked, fake_unmasked                     G(x), F(y)

G refines a rendering, as in Shrivastava et al. 2017 (SimGAN, arXiv 1612.07828): it gets a mask drawn on the face, and
its correction is bounded (models.drawings), so that it cannot smear. F gets a lower face drawn in place of the mask,
and corrects that. It learns from pairs without end: an unmasked face and the same one with a mask, which is drawn, or
corrected by G (so that F closes the cycle F(G(x))); or both photos of one FFHQ id, as MaskedFace-Net is made from FFHQ.
D_X judges each output beside its input (Isola et al. 2017, pix2pix, arXiv 1611.07004). In the other cycle, G gets a
drawing in the colour of the mask that was there, and G(F(y)) must have its light. docs/models.md gives the reasons.
Instance norm treats each image alone, so passes through the same network are joined into one batch.
"""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.drawings import changed_share, put_on
from models.face_regions import dilate, lower_face_region
from models.losses import (
    adversarial_loss,
    discriminator_loss,
    distance_within,
    gradient_distance,
    patch_weights,
    preservation_loss,
)
from models.mask_appearance import changed_area
from models.methods.method import ALL_DRAWN, Batch, Faces, GeneratorResult, Method, is_corrected
from models.networks import TwoScaleDiscriminator, make_generator
from models.params import TrainParams
from models.random_streams import RELIGHT, stream
from pipeline.storage.packed_arrays import PackedSet

FEATURE_WEIGHT = 10.0
"""Of the feature matching loss (Wang et al. 2018, arXiv 1711.11585, section 3.3: theirs)."""

_TURNED_YAW = 20.0  # degrees: from here on a head counts as turned
_MAX_REPEATS = 4  # of an image within an epoch


def make_networks(params: TrainParams) -> dict[str, nn.Module]:
    """G, F and their discriminators, weights drawn from params.seed. D_X sees an output and its input."""
    torch.manual_seed(params.seed)
    return {
        "generator_mask": make_generator("guided", "mask", params.width, params.blocks),
        "generator_unmask": make_generator("guided", "unmask", params.width, params.blocks),
        "discriminator_masked": TwoScaleDiscriminator(params.discriminator_width, 3),
        "discriminator_unmasked": TwoScaleDiscriminator(params.discriminator_width, 6),
    }


def epoch_indices(unmasked: PackedSet, masked: PackedSet, params: TrainParams) -> dict[str, NDArray[np.int64]]:
    """Each image once, and turned heads more often in the domain that has fewer of them."""
    return {"unmasked": balance_by_yaw(unmasked, masked), "masked": balance_by_yaw(masked, unmasked)}


def balance_by_yaw(packed: PackedSet, other: PackedSet) -> NDArray[np.int64]:
    """Indices of an epoch: each image once, turned heads up to four times, until their share is that of `other`.

    Data sets show people in masks from the front more often. Without balancing, D_Y sees few masks on turned heads, and
    G places them badly there.
    """
    turned, turned_in_other = (np.abs(faces.yaws) > _TURNED_YAW for faces in (packed, other))
    if not turned.any():
        return np.arange(len(packed))
    repeats = min(_MAX_REPEATS, max(1, round(turned_in_other.mean() / turned.mean())))
    return np.concatenate([np.arange(len(packed)), np.repeat(np.flatnonzero(turned), repeats - 1)])


class GeneratorObjective(nn.Module):
    """The loss of G and F."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.mask, self.unmask = networks["generator_mask"], networks["generator_unmask"]
        # A tuple hides them from nn.Module: this module's parameters are the generators' only.
        self.discriminators = tuple(
            cast(TwoScaleDiscriminator, networks[name]) for name in ("discriminator_masked", "discriminator_unmasked")
        )
        self.params = params

    def forward(self, unmasked: Faces, masked: Faces, pair: Tensor, corrected: Tensor) -> GeneratorResult:
        """Faces of both domains -> GeneratorResult.

        `pair` (B, 3, H, W) is x with a mask; where `corrected` (B, 1, 1, 1) is 1, G(x) takes its place. The fakes are
        G(x) with its region (B, 4, H, W), and F(pair) with its input, the changed area and x
        (B, 10, H, W).
        """
        params, x, y, count = self.params, unmasked.images, masked.images, len(unmasked.images)
        assert unmasked.drawing is not None and masked.drawing is not None
        assert unmasked.bare is not None and masked.bare is not None
        x_region = lower_face_region(unmasked.conditioning)

        # Translate: G(x), F(y), F(x with a mask). F learns to undo G, and G gets no gradient from it: it would hide x.
        fake_masked, _ = self.mask(x, unmasked.conditioning, unmasked.drawing)
        pair = torch.where(corrected > 0, fake_masked.detach(), pair)
        of_unmask, _ = self.unmask(
            torch.cat([y, pair]),
            torch.cat([masked.conditioning, unmasked.conditioning]),
            torch.cat([masked.bare, unmasked.bare]),
        )
        fake_unmasked, restored = of_unmask[:count], of_unmask[count:]
        changed = changed_area(pair, x)

        # G: real masks to D_Y; near the drawing in all edges; and with a known mask's light where that is known.
        terms = {"adversarial": self._realism(fake_masked, x_region)}
        drawn = put_on(x, unmasked.drawing)
        terms["drawing"] = gradient_distance(fake_masked, drawn, changed_share(unmasked.drawing))
        again, _ = self.mask(fake_unmasked.detach(), masked.conditioning, masked.drawing)
        terms["light"] = _coarse_distance(again, y, masked.drawing[:, 3:4])

        # F: the known answer, to D_X as well; only what was changed may change.
        terms["cycle"] = distance_within(restored, x, changed) + functional.l1_loss(restored, x)
        terms["texture"], terms["features"] = self._restoration(restored, x, pair, changed)
        beside = 1 - dilate(masked.bare[:, 3:], max(1, y.shape[-1] // 32))
        terms["preservation"] = preservation_loss(y, fake_unmasked, beside)

        total = terms["adversarial"] + params.guided.lambda_drawing * terms["drawing"]
        total = total + params.lambda_cycle * (terms["light"] + terms["cycle"] + terms["preservation"])
        total = total + terms["texture"] + FEATURE_WEIGHT * terms["features"]
        fakes = {
            "masked": torch.cat([fake_masked.detach(), x_region], dim=1),
            "unmasked": torch.cat([restored.detach(), pair, changed, x], dim=1),
        }
        return GeneratorResult(total, terms, fakes)

    def _realism(self, fake_masked: Tensor, region: Tensor) -> Tensor:
        """Eq. 1 for G, over the patches at the lower face, from near and from afar."""
        scores = self.discriminators[0](fake_masked)
        losses = [adversarial_loss(scale, self.params.loss, patch_weights(region, scale)) for scale in scores]
        return torch.stack(losses).mean()

    def _restoration(self, restored: Tensor, x: Tensor, pair: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 1 for F beside its input, and the distance of the discriminator's features to those of the true face."""
        discriminator = self.discriminators[1]
        near, afar = discriminator.features(torch.cat([restored, pair], 1))
        with torch.no_grad():
            true = discriminator.fine.features(torch.cat([x, pair], 1))
        losses = [
            adversarial_loss(scale, self.params.loss, patch_weights(changed, scale)) for scale in (near[-1], afar)
        ]
        distances = [
            distance_within(one, other, patch_weights(changed, one))
            for one, other in zip(near[:-1], true[:-1], strict=True)
        ]
        return torch.stack(losses).mean(), torch.stack(distances).mean()


def _coarse_distance(one: Tensor, other: Tensor, alpha: Tensor) -> Tensor:
    """The mean absolute difference of colours, averaged over 1/8 of the side, where a mask is."""
    cell = one.shape[-1] // 8
    weight = functional.avg_pool2d(alpha, cell)
    means = [functional.avg_pool2d(image * alpha, cell) / weight.clamp(min=0.05) for image in (one, other)]
    return distance_within(means[0], means[1], (weight > 0.5).float())


def light_changes(seed: int, positions: range) -> Tensor:
    """Exponent and factors of R, G and B for the unmasked images at `positions`, (B, 4, 1, 1); half of them are 1.

    Photos are darker, yellower or bluer than most of a data set, and what F paints must match them.
    """
    changes = np.ones((len(positions), 4), np.float32)
    for row, position in enumerate(positions):
        rng = stream(seed, RELIGHT, "unmasked", position)
        if rng.random() < 0.5:
            changes[row] = np.exp([rng.normal(0, 0.25), *(rng.normal(0, 0.15) + rng.normal(0, 0.06, 3))])
    return torch.from_numpy(changes)[:, :, None, None]


def relit(images: Tensor, change: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1] under a light changed by (B, 4, 1, 1), an exponent and factors of R, G and B."""
    values = ((images + 1) / 2).clamp(min=1e-4) ** change[:, :1] * change[:, 1:]
    return (2 * values - 1).clamp(-1, 1)


def generator_inputs(unmasked: Batch, masked: Batch, params: TrainParams) -> tuple[Faces, Faces, Tensor, Tensor]:
    """The faces of both domains, the unmasked ones with masks (B, 3, H, W), and where G's are to take their place."""
    x, y = unmasked.faces, masked.faces
    change = light_changes(params.seed, unmasked.positions).to(x.images.device)
    assert x.pair is not None and x.bare is not None
    bare = torch.cat([(relit(2 * x.bare[:, :3] - 1, change) + 1) / 2, x.bare[:, 3:]], dim=1)
    corrected = torch.tensor([is_corrected(position) for position in unmasked.positions], device=x.images.device)
    pair, x = relit(x.pair, change), x._replace(images=relit(x.images, change), pair=None, bare=bare)
    return x, y, pair, corrected.float()[:, None, None, None]


class DiscriminatorObjective(nn.Module):
    """Eq. 1 for D_Y on real masked faces and fakes of the pool, and for D_X on pairs with a true and a painted face."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.masked, self.unmasked = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.loss = params.loss

    def forward(self, masked: Tensor, fake_masked: Tensor, pairs: Tensor, fake_pairs: Tensor) -> Tensor:
        """Real and fake images, each with its area as the last channel -> the sum of both losses, a scalar."""
        return self._one(self.masked, masked, fake_masked) + self._one(self.unmasked, pairs, fake_pairs)

    def _one(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        losses = []
        for scores in discriminator(torch.cat([real[:, :-1], fake[:, :-1]])):
            of_real, of_fake = scores[: len(real)], scores[len(real) :]
            weights_real, weights_fake = patch_weights(real[:, -1:], of_real), patch_weights(fake[:, -1:], of_fake)
            losses.append(discriminator_loss(of_real, of_fake, self.loss, weights_real, weights_fake))
        return torch.stack(losses).mean()


def discriminator_inputs(
    unmasked: Batch, masked: Batch, fakes: dict[str, Tensor], params: TrainParams
) -> tuple[Tensor, ...]:
    """Real masked faces and fakes with their regions; true faces beside the inputs of the fakes, with their areas."""
    y = masked.faces
    real = torch.cat([y.images, lower_face_region(y.conditioning)], dim=1)
    answers = fakes["unmasked"]
    return real, fakes["masked"], torch.cat([answers[:, 7:], answers[:, 3:7]], dim=1), answers[:, :7]


METHOD = Method(
    generator="guided",
    make_networks=make_networks,
    epoch_indices=epoch_indices,
    generator_objective=GeneratorObjective,
    generator_inputs=generator_inputs,
    discriminator_objective=DiscriminatorObjective,
    discriminator_inputs=discriminator_inputs,
    drawn_inputs=lambda params: ALL_DRAWN,
    averaged_share=0.2,
)
