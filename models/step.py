"""One training step: both generators, then both discriminators (Zhu et al. 2017, eq. 3 and 4).

Instance norm treats each image alone, so passes that share a network are joined into one batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models import losses
from models.checkpoint import TrainingState
from models.data import POOL, stream
from models.machine import Machine
from models.params import TrainParams
from models.tracking import Row


@dataclass(frozen=True)
class Batch:
    """One domain's images (B, 3, H, W) in [-1, 1] and lower-face regions (B, 1, H, W) of 0 and 1."""

    images: Tensor
    regions: Tensor


def train_step(state: TrainingState, plain: Batch, masked: Batch, params: TrainParams, machine: Machine) -> Row:
    """Compute all gradients and give the losses; nothing is changed but gradients and pools.

    The caller looks at the losses, then lets the optimisers step: so a NaN never reaches the weights.
    """
    mask, unmask = state.networks["generator_mask"], state.networks["generator_unmask"]
    judge_masked, judge_plain = (
        state.networks["discriminator_masked"],
        state.networks["discriminator_unmasked"],
    )
    count = len(plain.images)
    for optimiser in state.optimisers.values():
        optimiser.zero_grad(set_to_none=True)

    # Generators: L_GAN(G) + L_GAN(F) + lambda (L_cyc + 0.5 L_identity), and the matte penalty.
    for judge in (judge_masked, judge_plain):
        judge.requires_grad_(False)
    with machine.autocast():
        both = torch.cat([plain.images, masked.images]), torch.cat([plain.regions, masked.regions])
        other = torch.cat([masked.images, plain.images]), torch.cat([masked.regions, plain.regions])
        if params.lambda_identity:
            put_on, matte_on = mask(*both)  # G(x), G(y)
            taken_off, matte_off = unmask(*other)  # F(y), F(x)
        else:
            put_on, matte_on = mask(plain.images, plain.regions)
            taken_off, matte_off = unmask(masked.images, masked.regions)
        fake_masked, fake_plain = put_on[:count], taken_off[:count]
        back_plain, _ = unmask(fake_masked, plain.regions)  # F(G(x))
        back_masked, _ = mask(fake_plain, masked.regions)  # G(F(y))
        scores_masked, scores_plain = judge_masked(fake_masked), judge_plain(fake_plain)
    terms = {
        "adversarial": losses.adversarial(scores_masked) + losses.adversarial(scores_plain),
        "cycle": losses.cycle(plain.images, back_plain) + losses.cycle(masked.images, back_masked),
    }
    total = terms["adversarial"] + params.lambda_cycle * terms["cycle"]
    if params.lambda_identity:
        terms["identity"] = losses.identity(masked.images, put_on[count:])
        terms["identity"] = terms["identity"] + losses.identity(plain.images, taken_off[count:])
        total = total + params.lambda_cycle * params.lambda_identity * terms["identity"]
    if params.generator == "guided":
        terms["matte"] = losses.matte(matte_on[:count], plain.regions)
        terms["matte"] = terms["matte"] + losses.matte(matte_off[:count], masked.regions)
        total = total + params.lambda_matte * terms["matte"]
    total.backward()  # type: ignore[no-untyped-call]

    # Discriminators: each on real faces and on fakes of the pool.
    discriminator = torch.zeros((), device=machine.device)
    for judge, real, fake, domain in (
        (judge_masked, masked.images, fake_masked, "masked"),
        (judge_plain, plain.images, fake_plain, "unmasked"),
    ):
        judge.requires_grad_(True)
        rng = stream(params.seed, POOL, domain, state.images_seen)
        shown = state.pools[domain].exchange(fake, rng)
        with machine.autocast():
            scores = judge(torch.cat([real, shown]))
        discriminator = discriminator + losses.discrimination(scores[: len(real)], scores[len(real) :])
    discriminator.backward()  # type: ignore[no-untyped-call]

    terms["discriminator"] = discriminator
    values = torch.stack([value.detach() for value in terms.values()]).tolist()  # one wait for the device
    return dict(zip(terms, values, strict=True))
