"""Method `simgan`: a refiner of drawn masks (Shrivastava et al. 2017, SimGAN, arXiv 1612.07828). It only puts masks on.

    code                     paper
    drawn                    x: a synthetic image; here an unmasked face with a drawn mask
    masked                   y: a real image, here a face with a mask
    generator_mask           R_theta, the refiner
    discriminator_masked     D_phi, which scores local patches (section 2.2)
    refined                  R(x)

The refiner is the bounded correction of a drawing (models.drawings) in place of the paper's residual network, which
blurred the masks' edges (docs/experiments.md). The pool is the history of refined images (section 2.3): on average
half of the fakes that the discriminator sees are earlier ones.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.drawings import changed_share, put_on
from models.face_regions import lower_face_region
from models.losses import adversarial_loss, discriminator_loss, distance_within, patch_weights
from models.methods.method import Batch, DrawnInputs, Faces, GeneratorResult, Method, TrainedHalves
from models.networks import PatchDiscriminator, initialised, make_generator
from models.params import TrainParams
from pipeline.storage.packed_arrays import PackedSet

_PATCH_DEPTH = 1  # of the discriminator: patches of 16 px; larger ones made spots and bands (docs/experiments.md)


def make_networks(params: TrainParams) -> dict[str, nn.Module]:
    """The refiner and its discriminator, weights drawn from params.seed."""
    torch.manual_seed(params.seed)
    return {
        "generator_mask": make_generator("guided", "mask", params.width, params.blocks),
        "discriminator_masked": initialised(
            PatchDiscriminator(params.discriminator_width, instance_norm=True, depth=_PATCH_DEPTH)
        ),
    }


def epoch_indices(unmasked: PackedSet, masked: PackedSet, params: TrainParams) -> dict[str, NDArray[np.int64]]:
    """Each image once."""
    return {"unmasked": np.arange(len(unmasked)), "masked": np.arange(len(masked))}


def trained_halves(params: TrainParams, images_seen: int) -> TrainedHalves:
    """Algorithm 1 and section 3: first the refiner alone, then the discriminator alone, then both."""
    alone = params.simgan.refiner_images
    if images_seen < alone:
        return TrainedHalves(discriminators=False)
    return TrainedHalves(generators=images_seen >= alone + params.simgan.discriminator_images)


class GeneratorObjective(nn.Module):
    """Eq. 3 and 4: the loss of the refiner."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.mask = networks["generator_mask"]
        # A tuple hides it from nn.Module: this module's parameters are the generator's only.
        self.discriminators = (networks["discriminator_masked"],)
        self.params = params

    def forward(self, unmasked: Faces, adversarial: Tensor) -> GeneratorResult:
        """Unmasked faces -> GeneratorResult; the fakes are R(x) with the face's region (B, 4, H, W).

        `adversarial` is 0 while the refiner learns alone, and 1 afterwards.
        """
        params, region = self.params, lower_face_region(unmasked.conditioning)
        assert unmasked.drawing is not None
        refined, _ = self.mask(unmasked.images, unmasked.conditioning, unmasked.drawing)
        drawn = put_on(unmasked.images, unmasked.drawing)

        # The patches at the lower face should look real, eq. 2.
        scores = self.discriminators[0](refined)
        terms = {"adversarial": adversarial_loss(scores, params.loss, patch_weights(region, scores))}

        # Self-regularisation, eq. 4: near the drawing.
        terms["drawing"] = distance_within(refined, drawn, changed_share(unmasked.drawing))
        total = adversarial * terms["adversarial"] + params.simgan.lambda_drawing * terms["drawing"]
        return GeneratorResult(total, terms, {"masked": torch.cat([refined.detach(), region], dim=1)})


def generator_inputs(unmasked: Batch, masked: Batch, params: TrainParams) -> tuple[Faces, Tensor]:
    """The unmasked faces, and whether the discriminator counts already, 0 or 1."""
    start = unmasked.positions.start // params.batch_size * params.batch_size  # of the whole batch, in any process
    counts = start >= params.simgan.refiner_images
    return unmasked.faces, torch.tensor(float(counts), device=unmasked.faces.images.device)


class DiscriminatorObjective(nn.Module):
    """Eq. 2 for D, on real masked faces and on refined ones of the pool."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.masked = networks["discriminator_masked"]
        self.loss = params.loss

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Real and refined images, each with its region as the last channel -> the loss, a scalar."""
        scores = self.masked(torch.cat([real[:, :-1], fake[:, :-1]]))
        of_real, of_fake = scores[: len(real)], scores[len(real) :]
        weights = (patch_weights(images[:, -1:], of_real) for images in (real, fake))
        return discriminator_loss(of_real, of_fake, self.loss, *weights)


def discriminator_inputs(
    unmasked: Batch, masked: Batch, fakes: dict[str, Tensor], params: TrainParams
) -> tuple[Tensor, ...]:
    """Real and refined masked faces, each with its region."""
    real = masked.faces
    return torch.cat([real.images, lower_face_region(real.conditioning)], dim=1), fakes["masked"]


METHOD = Method(
    generator="guided",
    make_networks=make_networks,
    epoch_indices=epoch_indices,
    generator_objective=GeneratorObjective,
    generator_inputs=generator_inputs,
    discriminator_objective=DiscriminatorObjective,
    discriminator_inputs=discriminator_inputs,
    drawn_inputs=lambda params: DrawnInputs(drawings=("unmasked",)),
    trained_halves=trained_halves,
    plateau_term="drawing",
    averaged_share=0.2,
)
