"""Method `guided`: a CycleGAN whose generators paint the lower face through a matte, conditioned on the landmarks.

    code                                           paper (Zhu et al. 2017, arXiv 1703.10593)
    unmasked, masked                               x, y: a face without a mask, a face with one
    generator_mask, generator_unmask               G, F
    discriminator_masked, discriminator_unmasked   D_Y, D_X
    fake_masked, fake_unmasked                     G(x), F(y)
    reconstructed_unmasked, reconstructed_masked   F(G(x)), G(F(y))

Beside the paper's: the cycles are conditioned (z in G(F(y), z)), F learns from pairs made by mask transfer, losses
constrain the mattes, and the discriminators are trained on the lower face only. docs/models.md gives the reasons.
Instance norm treats each image alone, so passes through the same network are joined into one batch.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.face_regions import dilated_region, lower_face_region, overhang_region, required_region
from models.losses import (
    adversarial_loss,
    coverage_loss,
    cycle_loss,
    discriminator_loss,
    identity_loss,
    matte_loss,
    patch_weights,
    preservation_loss,
)
from models.mask_appearance import appearance_code, covered_area, cycle_condition, estimate_mask
from models.mask_transfer import mask_tints, transfer_masks
from models.methods.method import Batch, Faces, GeneratorResult, Method
from models.networks import make_discriminator, make_generator
from models.params import TrainParams
from pipeline.storage.packed_arrays import PackedSet

UNMASK_ADVERSARIAL_WEIGHT = 0.04
"""Weight of F's adversarial loss. With 1, as in eq. 3, F paints coloured rings and scribbles that D_X takes for real,
and with 0.15 still strokes instead of mouths (docs/experiments.md)."""

_TURNED_YAW = 20.0  # degrees: from here on a head counts as turned
_MAX_REPEATS = 4  # of an image within an epoch


def make_networks(params: TrainParams) -> dict[str, nn.Module]:
    """Guided generators, the paper's D_Y and a coarse D_X, weights drawn from params.seed."""
    torch.manual_seed(params.seed)
    return {
        "generator_mask": make_generator("guided", "mask", params.width, params.blocks),
        "generator_unmask": make_generator("guided", "unmask", params.width, params.blocks),
        "discriminator_masked": make_discriminator("patch", params.discriminator_width),
        "discriminator_unmasked": make_discriminator("coarse", params.discriminator_width),
    }


def epoch_indices(unmasked: PackedSet, masked: PackedSet) -> dict[str, NDArray[np.int64]]:
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
    """The loss of G and F: eq. 3 with conditioned cycles, and the losses of mattes, coverage and preservation."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.mask, self.unmask = networks["generator_mask"], networks["generator_unmask"]
        # A tuple hides them from nn.Module: this module's parameters are the generators' only.
        self.discriminators = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.params = params

    def forward(self, unmasked: Faces, masked: Faces, identity_input: Tensor) -> GeneratorResult:
        """Faces of both domains -> GeneratorResult; fakes (B, 4, H, W), each with its region.

        `identity_input` (B, 3, H, W) is what F has to turn into x: the same faces with transferred masks.
        """
        params, x, y, count = self.params, unmasked.images, masked.images, len(unmasked.images)
        x_region, y_region = lower_face_region(unmasked.conditioning), lower_face_region(masked.conditioning)
        y_mask = estimate_mask(y, y_region)

        # Translate: G(x), F(y); for the identity loss also G(y), and F(x with transferred masks).
        if params.lambda_identity:
            x_maps, y_maps = unmasked.conditioning, masked.conditioning
            of_mask, mask_mattes = self.mask(torch.cat([x, y]), torch.cat([x_maps, y_maps]))
            of_unmask, unmask_mattes = self.unmask(torch.cat([y, identity_input]), torch.cat([y_maps, x_maps]))
        else:
            of_mask, mask_mattes = self.mask(x, unmasked.conditioning)
            of_unmask, unmask_mattes = self.unmask(y, masked.conditioning)
        fake_masked, fake_unmasked = of_mask[:count], of_unmask[:count]

        # Cycle: F(G(x), z), G(F(y), z). Detach F(y): otherwise F hides the mask's appearance in the face for G to read.
        reconstructed_unmasked, _ = self.unmask(
            fake_masked, unmasked.conditioning, cycle_condition("unmask", x, x_region)
        )
        reconstructed_masked, _ = self.mask(fake_unmasked.detach(), masked.conditioning, appearance_code(y, y_mask))
        cycle = cycle_loss(x, reconstructed_unmasked) + cycle_loss(y, reconstructed_masked)

        # Adversarial. D_X sees the fakes of known ground truth if there are any: on others F follows D_X's errors.
        shown, shown_region = (of_unmask[count:], x_region) if params.lambda_identity else (fake_unmasked, y_region)
        adversarial = self._adversarial(fake_masked, x_region, shown, shown_region)
        terms = {"adversarial": adversarial, "cycle": cycle}
        total = adversarial + params.lambda_cycle * cycle

        # Identity.
        if params.lambda_identity:
            terms["identity"] = identity_loss(y, of_mask[count:]) + identity_loss(x, of_unmask[count:])
            total = total + params.lambda_cycle * params.lambda_identity * terms["identity"]

        # Mask: G may end it anywhere in the band at the region's edge; F must remove all of it, and nothing else.
        mask_area = covered_area(y_mask, y_region)
        required, removed = required_region(x_region), mask_area * overhang_region(y_region)
        matte_of_mask = matte_loss(mask_mattes[:count], required, dilated_region(x_region))
        terms["matte"] = matte_of_mask + matte_loss(unmask_mattes[:count], removed, dilated_region(y_region))
        terms["coverage"] = coverage_loss(x, fake_masked, required)
        terms["preservation"] = preservation_loss(y, fake_unmasked, 1 - mask_area)
        total = total + params.guided.lambda_matte * (terms["matte"] + terms["coverage"])
        total = total + params.lambda_cycle * terms["preservation"]

        fakes = {"masked": _with_region(fake_masked, x_region), "unmasked": _with_region(shown, shown_region)}
        return GeneratorResult(total, terms, fakes)

    def _adversarial(
        self, fake_masked: Tensor, masked_region: Tensor, fake_unmasked: Tensor, unmasked_region: Tensor
    ) -> Tensor:
        """Eq. 1 for both generators, over the patches at each fake's lower-face region."""
        discriminator_masked, discriminator_unmasked = self.discriminators
        scores_masked, scores_unmasked = discriminator_masked(fake_masked), discriminator_unmasked(fake_unmasked)
        kind = self.params.loss
        of_mask = adversarial_loss(scores_masked, kind, patch_weights(masked_region, scores_masked))
        of_unmask = adversarial_loss(scores_unmasked, kind, patch_weights(unmasked_region, scores_unmasked))
        return of_mask + UNMASK_ADVERSARIAL_WEIGHT * of_unmask


def _with_region(fake: Tensor, region: Tensor) -> Tensor:
    """(B, 3, H, W) and (B, 1, H, W) -> (B, 4, H, W), detached: so the pool keeps both together."""
    return torch.cat([fake.detach(), region], dim=1)


def generator_inputs(unmasked: Batch, masked: Batch, params: TrainParams) -> tuple[Faces, Faces, Tensor]:
    """The faces of both domains, and the unmasked ones with transferred, tinted masks (B, 3, H, W)."""
    x, y = unmasked.faces, masked.faces
    if not params.lambda_identity:
        return x, y, x.images
    tints = mask_tints(params.seed, masked.positions).to(y.images.device)
    regions = lower_face_region(x.conditioning), lower_face_region(y.conditioning)
    return x, y, transfer_masks(x.images, regions[0], y.images, regions[1], tints)


class DiscriminatorObjective(nn.Module):
    """Eq. 1 for D_Y and D_X, each on real faces and on fakes of the pool, over the patches at the lower face."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.masked, self.unmasked = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.loss = params.loss

    def forward(self, masked: Tensor, fake_masked: Tensor, unmasked: Tensor, fake_unmasked: Tensor) -> Tensor:
        """Real images and fakes, each with its region (B, 4, H, W) -> the sum of both losses, a scalar."""
        return self._one(self.masked, masked, fake_masked) + self._one(self.unmasked, unmasked, fake_unmasked)

    def _one(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        scores = discriminator(torch.cat([real[:, :3], fake[:, :3]]))
        of_real, of_fake = scores[: len(real)], scores[len(real) :]
        weights_real, weights_fake = patch_weights(real[:, 3:], of_real), patch_weights(fake[:, 3:], of_fake)
        return discriminator_loss(of_real, of_fake, self.loss, weights_real, weights_fake)


def discriminator_inputs(unmasked: Batch, masked: Batch, fakes: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Real and fake images of both domains, each with its region."""
    real_masked, real_unmasked = (
        _with_region(batch.faces.images, lower_face_region(batch.faces.conditioning)) for batch in (masked, unmasked)
    )
    return real_masked, fakes["masked"], real_unmasked, fakes["unmasked"]


METHOD = Method(
    generator="guided",
    make_networks=make_networks,
    epoch_indices=epoch_indices,
    generator_objective=GeneratorObjective,
    generator_inputs=generator_inputs,
    discriminator_objective=DiscriminatorObjective,
    discriminator_inputs=discriminator_inputs,
)
