"""One training step: both generators, then both discriminators (Zhu et al. 2017, equations 3 and 4).

Each half is one module with one forward pass, which is what torch.compile and DistributedDataParallel want to see.
Instance norm treats each image alone, so passes that share a network are joined into one batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import losses
from models.checkpoint import TrainingState
from models.data import POOL, stream
from models.group import Group
from models.machine import Machine
from models.params import TrainParams
from models.tracking import Row


@dataclass(frozen=True)
class Batch:
    """One domain's images (B, 3, H, W) in [-1, 1] and lower-face regions (B, 1, H, W) of 0 and 1."""

    images: Tensor
    regions: Tensor


class GeneratorObjective(nn.Module):
    """Eq. 3 for G and F: L_GAN(G) + L_GAN(F) + lambda (L_cyc + 0.5 L_identity), and the matte penalty."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.mask, self.unmask = networks["generator_mask"], networks["generator_unmask"]
        # In a tuple, so that they are not among this module's own: their weights stay as they are here.
        self.judges = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.params = params

    def forward(
        self, plain: Tensor, plain_regions: Tensor, masked: Tensor, masked_regions: Tensor
    ) -> dict[str, Tensor]:
        """Images (B, 3, H, W), regions (B, 1, H, W) of both domains -> each term, their sum `total`, the two fakes."""
        params, count = self.params, len(plain)
        judge_masked, judge_plain = self.judges
        if params.lambda_identity:
            put_on, matte_on = self.mask(
                torch.cat([plain, masked]), torch.cat([plain_regions, masked_regions])
            )  # G(x), G(y)
            taken_off, matte_off = self.unmask(
                torch.cat([masked, plain]), torch.cat([masked_regions, plain_regions])
            )  # F(y), F(x)
        else:
            put_on, matte_on = self.mask(plain, plain_regions)
            taken_off, matte_off = self.unmask(masked, masked_regions)
        fake_masked, fake_plain = put_on[:count], taken_off[:count]
        back_plain, _ = self.unmask(fake_masked, plain_regions)  # F(G(x))
        back_masked, _ = self.mask(fake_plain, masked_regions)  # G(F(y))
        terms = {
            "adversarial": losses.adversarial(judge_masked(fake_masked), params.loss)
            + losses.adversarial(judge_plain(fake_plain), params.loss),
            "cycle": losses.cycle(plain, back_plain) + losses.cycle(masked, back_masked),
        }
        total = terms["adversarial"] + params.lambda_cycle * terms["cycle"]
        if params.lambda_identity:
            terms["identity"] = losses.identity(masked, put_on[count:]) + losses.identity(plain, taken_off[count:])
            total = total + params.lambda_cycle * params.lambda_identity * terms["identity"]
        if params.generator == "guided":
            terms["matte"] = losses.matte(matte_on[:count], plain_regions) + losses.matte(
                matte_off[:count], masked_regions
            )
            total = total + params.lambda_matte * terms["matte"]
        return {**terms, "total": total, "fake_masked": fake_masked.detach(), "fake_plain": fake_plain.detach()}


class DiscriminatorObjective(nn.Module):
    """Eq. 1 for D_Y and D_X: each on real faces and on fakes of the pool."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.masked, self.unmasked = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.loss = params.loss

    def forward(self, masked: Tensor, fake_masked: Tensor, plain: Tensor, fake_plain: Tensor) -> Tensor:
        """Real and shown images (B, 3, H, W) of both domains -> the sum of both losses."""
        count = len(masked)
        of_masked, of_plain = (
            self.masked(torch.cat([masked, fake_masked])),
            self.unmasked(torch.cat([plain, fake_plain])),
        )
        return losses.discrimination(of_masked[:count], of_masked[count:], self.loss) + losses.discrimination(
            of_plain[:count], of_plain[count:], self.loss
        )


@dataclass(frozen=True)
class Objectives:
    """What a step calls: the two modules, or what compiles them or spreads them over processes."""

    generators: nn.Module
    discriminators: nn.Module


def make_objectives(state: TrainingState, params: TrainParams, machine: Machine, group: Group) -> Objectives:
    modules: list[nn.Module] = [
        GeneratorObjective(state.networks, params),
        DiscriminatorObjective(state.networks, params),
    ]
    made = [machine.compiled(group.spread(module)) for module in modules]
    return Objectives(*made)


def train_step(
    state: TrainingState,
    objectives: Objectives,
    plain: Batch,
    masked: Batch,
    params: TrainParams,
    machine: Machine,
    group: Group,
) -> Row:
    """Compute all gradients and give the losses; nothing is changed but gradients and pools.

    The caller looks at the losses, then lets the optimisers step: so a NaN never reaches the weights.
    """
    judges = state.networks["discriminator_masked"], state.networks["discriminator_unmasked"]
    for optimiser in state.optimisers.values():
        optimiser.zero_grad(set_to_none=True)

    # Generators.
    for judge in judges:
        judge.requires_grad_(False)
    with machine.autocast():
        made = objectives.generators(plain.images, plain.regions, masked.images, masked.regions)
    made["total"].backward()
    for judge in judges:
        judge.requires_grad_(True)

    # Discriminators. Each process holds the whole pool and sees all fakes, and takes its own share of what is shown.
    shown = {}
    for domain, name in (("masked", "fake_masked"), ("unmasked", "fake_plain")):
        rng = stream(params.seed, POOL, domain, state.images_seen)
        shown[domain] = group.own(state.pools[domain].exchange(group.gathered(made[name]), rng))
    with machine.autocast():
        discriminator = objectives.discriminators(masked.images, shown["masked"], plain.images, shown["unmasked"])
    discriminator.backward()

    terms = {name: made[name] for name in ("adversarial", "cycle", "identity", "matte") if name in made}
    terms["discriminator"] = discriminator
    values = group.mean(torch.stack([value.detach() for value in terms.values()])).tolist()  # one wait for the device
    return dict(zip(terms, values, strict=True))
