"""Method `cyclegan`: the paper's CycleGAN (Zhu et al. 2017, arXiv 1703.10593).

    code                                           paper
    unmasked, masked                               x, y: a face without a mask, a face with one
    generator_mask, generator_unmask               G, F
    discriminator_masked, discriminator_unmasked   D_Y, D_X
    fake_masked, fake_unmasked                     G(x), F(y)
    reconstructed_unmasked, reconstructed_masked   F(G(x)), G(F(y))

Instance norm treats each image alone, so passes through the same network are joined into one batch.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.losses import adversarial_loss, cycle_loss, discriminator_loss, identity_loss
from models.methods.method import Batch, Faces, GeneratorResult, Method
from models.networks import PatchDiscriminator, initialised, make_generator
from models.params import TrainParams
from pipeline.storage.packed_arrays import PackedSet


def make_networks(params: TrainParams) -> dict[str, nn.Module]:
    """The paper's generators and its 70x70 PatchGANs, weights drawn from params.seed."""
    torch.manual_seed(params.seed)
    return {
        "generator_mask": make_generator("resnet", "mask", params.width, params.blocks),
        "generator_unmask": make_generator("resnet", "unmask", params.width, params.blocks),
        "discriminator_masked": initialised(PatchDiscriminator(params.discriminator_width, instance_norm=True)),
        "discriminator_unmasked": initialised(PatchDiscriminator(params.discriminator_width, instance_norm=True)),
    }


def epoch_indices(unmasked: PackedSet, masked: PackedSet, params: TrainParams) -> dict[str, NDArray[np.int64]]:
    """Each image once."""
    return {"unmasked": np.arange(len(unmasked)), "masked": np.arange(len(masked))}


class GeneratorObjective(nn.Module):
    """Eq. 3 for G and F: L_GAN(G) + L_GAN(F) + lambda (L_cyc + 0.5 L_identity), with 0.5 as params.lambda_identity."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.mask, self.unmask = networks["generator_mask"], networks["generator_unmask"]
        # A tuple hides them from nn.Module: this module's parameters are the generators' only.
        self.discriminators = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.params = params

    def forward(self, unmasked: Faces, masked: Faces) -> GeneratorResult:
        """Faces of both domains -> GeneratorResult; fakes (B, 3, H, W)."""
        params, x, y = self.params, unmasked.images, masked.images
        discriminator_masked, discriminator_unmasked = self.discriminators

        # Translate: G(x), F(y); for the identity loss also G(y), F(x).
        of_mask, _ = self.mask(*(_joined(unmasked, masked) if params.lambda_identity else unmasked[:2]))
        of_unmask, _ = self.unmask(*(_joined(masked, unmasked) if params.lambda_identity else masked[:2]))
        fake_masked, fake_unmasked = of_mask[: len(x)], of_unmask[: len(y)]
        reconstructed_unmasked, _ = self.unmask(fake_masked, unmasked.conditioning)  # F(G(x))
        reconstructed_masked, _ = self.mask(fake_unmasked, masked.conditioning)  # G(F(y))

        # Adversarial, eq. 1.
        terms = {
            "adversarial": adversarial_loss(discriminator_masked(fake_masked), params.loss)
            + adversarial_loss(discriminator_unmasked(fake_unmasked), params.loss)
        }
        total = terms["adversarial"]

        # Cycle consistency, eq. 2.
        terms["cycle"] = cycle_loss(x, reconstructed_unmasked) + cycle_loss(y, reconstructed_masked)
        total = total + params.lambda_cycle * terms["cycle"]

        # Identity, section 5.2.
        if params.lambda_identity:
            terms["identity"] = identity_loss(y, of_mask[len(x) :]) + identity_loss(x, of_unmask[len(y) :])
            total = total + params.lambda_cycle * params.lambda_identity * terms["identity"]

        return GeneratorResult(total, terms, {"masked": fake_masked.detach(), "unmasked": fake_unmasked.detach()})


def _joined(first: Faces, second: Faces) -> tuple[Tensor, Tensor]:
    """The images and conditioning maps of both as one batch."""
    return torch.cat([first.images, second.images]), torch.cat([first.conditioning, second.conditioning])


def generator_inputs(unmasked: Batch, masked: Batch, params: TrainParams) -> tuple[Faces, Faces]:
    """The faces of both domains."""
    return unmasked.faces, masked.faces


class DiscriminatorObjective(nn.Module):
    """Eq. 1 for D_Y and D_X, each on real faces and on fakes of the pool."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.masked, self.unmasked = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.loss = params.loss

    def forward(self, masked: Tensor, fake_masked: Tensor, unmasked: Tensor, fake_unmasked: Tensor) -> Tensor:
        """Real images and fakes, each (B, 3, H, W) -> the sum of both losses, a scalar."""
        return self._one(self.masked, masked, fake_masked) + self._one(self.unmasked, unmasked, fake_unmasked)

    def _one(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        scores = discriminator(torch.cat([real, fake]))
        return discriminator_loss(scores[: len(real)], scores[len(real) :], self.loss)


def discriminator_inputs(
    unmasked: Batch, masked: Batch, fakes: dict[str, Tensor], params: TrainParams
) -> tuple[Tensor, ...]:
    """Real and fake images of both domains."""
    return masked.faces.images, fakes["masked"], unmasked.faces.images, fakes["unmasked"]


METHOD = Method(
    generator="resnet",
    make_networks=make_networks,
    epoch_indices=epoch_indices,
    generator_objective=GeneratorObjective,
    generator_inputs=generator_inputs,
    discriminator_objective=DiscriminatorObjective,
    discriminator_inputs=discriminator_inputs,
)
