"""Method `fastgan`: new faces, with and without a mask (Liu et al. 2021, FastGAN, arXiv 2101.04775).

    code                     paper
    latents                  z
    generator_faces          G; here it makes a face and a mask for it from one z
    average_faces            the average of G's weights over the training, which samples are made with
    discriminator_faces      D, here of two classes, unmasked and masked, with the decoders of section 3.2

It translates no photo: its checkpoint has no generator_mask and no generator_unmask. D sees all images through
differentiable augmentation (Zhao et al. 2020, arXiv 2006.10738). The loss is the hinge loss, for any train.loss.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.differentiable_augmentation import augmented, draw
from models.face_networks import LATENT, FaceDiscriminator, FaceGenerator, MadeFaces
from models.face_regions import dilated_region, lower_face_region
from models.losses import hinge_adversarial_loss, hinge_discriminator_loss
from models.methods.method import Batch, GeneratorResult, Method
from models.params import TrainParams
from models.random_streams import AUGMENT_DISCRIMINATOR, AUGMENT_GENERATOR, LATENTS, QUARTER, stream
from models.weight_average import move_average, new_average
from pipeline.errors import FacemaskError
from pipeline.storage.packed_arrays import DOMAINS, PackedSet

_RAMP = 0.05  # of the images seen: at most this much of the training is averaged (Karras et al. 2020, 1912.04958)


def make_networks(params: TrainParams) -> dict[str, nn.Module]:
    """The generator, its average and the discriminator, weights drawn from params.seed.

    Raises FacemaskError unless params.image_px is a power of two.
    """
    side = params.image_px
    if side & (side - 1):
        raise FacemaskError(f"train.image_px is {side}: method fastgan needs a power of two, such as 64 or 256")
    torch.manual_seed(params.seed)
    generator = FaceGenerator(params.width, side)
    return {
        "generator_faces": generator,
        "average_faces": new_average(generator),
        "discriminator_faces": FaceDiscriminator(params.discriminator_width, side),
    }


def epoch_indices(unmasked: PackedSet, masked: PackedSet, params: TrainParams) -> dict[str, NDArray[np.int64]]:
    """Each image once."""
    return {"unmasked": np.arange(len(unmasked)), "masked": np.arange(len(masked))}


class GeneratorInputs(NamedTuple):
    """What the generator's loss is computed from."""

    latents: Tensor  # (B, LATENT)
    draws: Tensor  # (2B, DRAWS): random numbers of augmentation, the unmasked images first
    beside: Tensor  # (B, 1, S, S) of 0 and 1: where a real masked face has no mask


class GeneratorObjective(nn.Module):
    """Section 3.3: the hinge loss of G for both classes; and where a mask may be."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.faces = networks["generator_faces"]
        # A tuple hides it from nn.Module: this module's parameters are the generator's only.
        self.discriminators: tuple[FaceDiscriminator] = (networks["discriminator_faces"],)  # type: ignore[assignment]
        self.params = params.fastgan

    def forward(self, inputs: GeneratorInputs) -> GeneratorResult:
        """GeneratorInputs -> GeneratorResult.

        A loss on the matte where real masked faces have no mask keeps it from covering the rest of the face.
        """
        latents, draws, beside = inputs
        made: MadeFaces = self.faces(latents)
        images, classes = torch.cat([made.unmasked, made.masked]), _classes(len(latents), latents.device)
        scores = self.discriminators[0](augmented(images, draws), classes)
        terms = {"adversarial": hinge_adversarial_loss(scores), "matte": (made.matte * beside).mean()}
        total = terms["adversarial"] + self.params.lambda_matte * terms["matte"]
        return GeneratorResult(total, terms, {"unmasked": made.unmasked.detach(), "masked": made.masked.detach()})


def generator_inputs(unmasked: Batch, masked: Batch, params: TrainParams) -> tuple[GeneratorInputs]:
    """A latent vector for each position, random numbers, and where real masked faces have no mask."""
    device, positions = unmasked.faces.images.device, unmasked.positions
    latents = [stream(params.seed, LATENTS, "unmasked", at).standard_normal(LATENT, np.float32) for at in positions]
    region = lower_face_region(masked.faces.conditioning)
    inputs = GeneratorInputs(
        latents=torch.from_numpy(np.stack(latents)).to(device),
        draws=_draws(params.seed, AUGMENT_GENERATOR, positions).to(device),
        beside=(1 - dilated_region(region)) * region.amax(dim=(2, 3), keepdim=True),
    )
    return (inputs,)


class DiscriminatorObjective(nn.Module):
    """Section 3.2 and 3.3: the hinge loss of D for both classes, and its reconstruction of real images."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.faces: FaceDiscriminator = networks["discriminator_faces"]  # type: ignore[assignment]
        self.params = params.fastgan

    def forward(self, real: Tensor, fake: Tensor, draws: Tensor, quarters: Tensor) -> Tensor:
        """Real and made images (2B, 3, S, S), unmasked ones first, numbers (4B, DRAWS), quarters (2B,) -> the loss."""
        classes = _classes(len(real) // 2, real.device)
        seen = augmented(real, draws[: len(real)])
        of_real, distance = self.faces.with_reconstruction(seen, classes, quarters)
        of_fake = self.faces(augmented(fake, draws[len(real) :]), classes)
        return hinge_discriminator_loss(of_real, of_fake) + self.params.lambda_reconstruction * distance


def discriminator_inputs(
    unmasked: Batch, masked: Batch, fakes: dict[str, Tensor], params: TrainParams
) -> tuple[Tensor, ...]:
    """Real and made images of both classes, with their random numbers."""
    device, positions = unmasked.faces.images.device, unmasked.positions
    draws = [_draws(params.seed, purpose, positions) for purpose in AUGMENT_DISCRIMINATOR]
    quarters = [int(stream(params.seed, QUARTER, domain, at).integers(4)) for domain in DOMAINS for at in positions]
    real = torch.cat([unmasked.faces.images, masked.faces.images])
    fake = torch.cat([fakes[domain] for domain in DOMAINS])
    return real, fake, torch.cat(draws).to(device), torch.tensor(quarters, device=device)


def after_step(networks: dict[str, nn.Module], params: TrainParams, images_seen: int) -> None:
    """Move the average towards the generator: half of what it is made of is from the last `average_images` images."""
    half_life = min(params.fastgan.average_images, _RAMP * images_seen)
    move_average(networks["average_faces"], networks["generator_faces"], params.batch_size, half_life)


def _classes(each: int, device: torch.device) -> Tensor:
    """0 for `each` unmasked images, then 1 for as many masked ones: (2 each,)."""
    return torch.arange(2, device=device).repeat_interleave(each)


def _draws(seed: int, purpose: int, positions: range) -> Tensor:
    """Random numbers of augmentation: (2B, DRAWS), the unmasked images first."""
    return torch.tensor([draw(stream(seed, purpose, domain, at)) for domain in DOMAINS for at in positions])


METHOD = Method(
    generator="fastgan",
    make_networks=make_networks,
    epoch_indices=epoch_indices,
    generator_objective=GeneratorObjective,
    generator_inputs=generator_inputs,
    discriminator_objective=DiscriminatorObjective,
    discriminator_inputs=discriminator_inputs,
    after_step=after_step,
    plateau_term="adversarial",
)
