"""Method `pix2pix`: both directions from pairs (Isola et al. 2017, arXiv 1611.07004).

    code                     paper, for G           paper, for F
    x, pair                  x and y                y and x: a face without a mask, and the same one with a mask
    generator_mask           G: x -> y
    generator_unmask                                G: y -> x
    discriminator_masked     D(x, y)
    discriminator_unmasked                          D(y, x)

A pair is both photos of one FFHQ id, or a face and the same one with a drawn mask (`pix2pix.pairs`). Beside the paper:
generators that paint through a matte (models.networks.FacePainter) in place of the U-Net with dropout, instance norm
instead of batch norm, and for real masked faces the losses that keep what no mask covers, as in the guided method.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.face_regions import dilate, dilated_region, lower_face_region
from models.losses import adversarial_loss, discriminator_loss, patch_weights, preservation_loss
from models.mask_appearance import changed_area, covered_area, estimate_mask
from models.methods.method import Batch, DrawnInputs, Faces, GeneratorResult, Method, twin_indices
from models.networks import PatchDiscriminator, initialised, make_generator
from models.params import TrainParams
from pipeline.errors import FacemaskError
from pipeline.storage.packed_arrays import PackedSet

_DIRECTIONS = ("masked", "unmasked")  # the domain of the output
_TWIN_SHARE = {True: 1.0, "rendered": 0.0, "both": 0.5}  # by pix2pix.pairs
_SAME_FRAME = 4 / 10 ** (20 / 10)  # mean squared difference beside the face, 20 dB, up to which a pair is in one frame


def make_networks(params: TrainParams) -> dict[str, nn.Module]:
    """Both painters, and their PatchGANs on input and output; weights drawn from params.seed."""
    torch.manual_seed(params.seed)
    width = params.discriminator_width
    return {
        "generator_mask": make_generator("painter", "mask", params.width, params.blocks),
        "generator_unmask": make_generator("painter", "unmask", params.width, params.blocks),
        "discriminator_masked": initialised(PatchDiscriminator(width, instance_norm=True, in_channels=6)),
        "discriminator_unmasked": initialised(PatchDiscriminator(width, instance_norm=True, in_channels=6)),
    }


def epoch_indices(unmasked: PackedSet, masked: PackedSet, params: TrainParams) -> dict[str, NDArray[np.int64]]:
    """Each image once; with true pairs only, each unmasked image that has a twin.

    Raises FacemaskError if none has one.
    """
    shown = np.arange(len(unmasked))
    if params.pix2pix.pairs is True:
        shown = np.flatnonzero(twin_indices(unmasked, masked) >= 0)
        if not len(shown):
            raise FacemaskError(
                "train.pix2pix.pairs is true, but no unmasked training face has a masked one of the same FFHQ id: "
                "set it to rendered, or add sources whose files are named by FFHQ id"
            )
    return {"unmasked": shown, "masked": np.arange(len(masked))}


class GeneratorObjective(nn.Module):
    """Eq. 4 for both directions, and what keeps the rest of the picture."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.mask, self.unmask = networks["generator_mask"], networks["generator_unmask"]
        # A tuple hides them from nn.Module: this module's parameters are the generators' only.
        self.discriminators = tuple(networks[f"discriminator_{domain}"] for domain in _DIRECTIONS)
        self.params = params

    def forward(self, unmasked: Faces, pair: Tensor, masked: Faces) -> GeneratorResult:
        """Unmasked faces, the same with masks (B, 3, H, W), and other masked faces -> GeneratorResult.

        The fakes of each domain are output, input, changed area and true output (B, 10, H, W).
        """
        params, x, y = self.params, unmasked.images, masked.images
        changed = changed_area(pair, x)
        near = dilate(changed, max(1, x.shape[-1] // 64))

        # Translate: G(x), F(pair), F(y).
        fake_masked, of_mask = self.mask(x, unmasked.conditioning)
        of_unmask, mattes = self.unmask(torch.cat([pair, y]), torch.cat([unmasked.conditioning, masked.conditioning]))
        fake_unmasked, kept = of_unmask[: len(x)], of_unmask[len(x) :]

        # Eq. 1 and 3.
        adversarial = [
            self._realism(discriminator, output, given, changed)
            for discriminator, output, given in zip(
                self.discriminators, (fake_masked, fake_unmasked), (x, pair), strict=True
            )
        ]
        terms = {"adversarial": torch.stack(adversarial).sum()}
        terms["l1"] = functional.l1_loss(fake_masked, pair) + functional.l1_loss(fake_unmasked, x)

        # Nothing else changes, on real masked faces too.
        region = lower_face_region(masked.conditioning)
        mask_area = covered_area(estimate_mask(y, region), region)
        terms["preservation"] = preservation_loss(y, kept, 1 - mask_area)
        outside = torch.cat([1 - near, 1 - near, 1 - mask_area])
        terms["matte"] = (torch.cat([of_mask, mattes]) * outside).mean()

        total = terms["adversarial"] + params.pix2pix.lambda_l1 * (terms["l1"] + terms["preservation"])
        total = total + params.pix2pix.lambda_matte * terms["matte"]
        fakes = {
            "masked": torch.cat([fake_masked.detach(), x, changed, pair], dim=1),
            "unmasked": torch.cat([fake_unmasked.detach(), pair, changed, x], dim=1),
        }
        return GeneratorResult(total, terms, fakes)

    def _realism(self, discriminator: nn.Module, output: Tensor, given: Tensor, changed: Tensor) -> Tensor:
        scores = discriminator(torch.cat([output, given], dim=1))
        return adversarial_loss(scores, self.params.loss, patch_weights(changed, scores))


def in_one_frame(pair: Tensor, x: Tensor, region: Tensor) -> Tensor:
    """The masked pictures (B, 3, H, W) of unmasked faces x, and x itself where they differ beside the face.

    Two photos of one FFHQ id may be aligned differently: such a pair would teach to move the face.
    """
    outside = 1 - dilated_region(region)
    difference = ((pair - x).square().mean(dim=1, keepdim=True) * outside).sum(dim=(1, 2, 3), keepdim=True)
    same = difference <= _SAME_FRAME * outside.sum(dim=(1, 2, 3), keepdim=True)
    return torch.where(same, pair, x)


def generator_inputs(unmasked: Batch, masked: Batch, params: TrainParams) -> tuple[Faces, Tensor, Faces]:
    """The unmasked faces, their pairs (B, 3, H, W), and the masked faces."""
    x = unmasked.faces
    assert x.pair is not None
    return x._replace(pair=None), in_one_frame(x.pair, x.images, lower_face_region(x.conditioning)), masked.faces


class DiscriminatorObjective(nn.Module):
    """Eq. 1 for both discriminators, on the same inputs with true and painted outputs."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.masked, self.unmasked = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.loss = params.loss

    def forward(self, masked: Tensor, unmasked: Tensor) -> Tensor:
        """Output, input, changed area and true output of both directions -> the sum of both losses, a scalar."""
        return self._one(self.masked, masked) + self._one(self.unmasked, unmasked)

    def _one(self, discriminator: nn.Module, answers: Tensor) -> Tensor:
        fake, given, changed, true = torch.split(answers, [3, 3, 1, 3], dim=1)
        scores = discriminator(torch.cat([torch.cat([true, fake]), torch.cat([given, given])], dim=1))
        weights = patch_weights(changed, scores)
        return discriminator_loss(scores[: len(fake)], scores[len(fake) :], self.loss, weights, weights)


def discriminator_inputs(
    unmasked: Batch, masked: Batch, fakes: dict[str, Tensor], params: TrainParams
) -> tuple[Tensor, ...]:
    """The answers of both directions."""
    return tuple(fakes[domain] for domain in _DIRECTIONS)


METHOD = Method(
    generator="painter",
    make_networks=make_networks,
    epoch_indices=epoch_indices,
    generator_objective=GeneratorObjective,
    generator_inputs=generator_inputs,
    discriminator_objective=DiscriminatorObjective,
    discriminator_inputs=discriminator_inputs,
    drawn_inputs=lambda params: DrawnInputs(twin_share=_TWIN_SHARE[params.pix2pix.pairs]),
    plateau_term="l1",
)
