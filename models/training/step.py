"""One training step: both generators, then both discriminators (Zhu et al. 2017, equations 3 and 4).

Each half is one module with one forward pass, which is what torch.compile and DistributedDataParallel want to see.
Instance norm treats each image alone, so passes that share a network are joined into one batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import losses
from models.face_regions import dilated_region, lower_face_region, overhang_region, required_region
from models.mask_appearance import appearance_code, covered, cycle_condition, estimate_mask
from models.params import TrainParams
from models.training.checkpoint import TrainingState
from models.training.data import POOL, mask_tints, stream
from models.training.device import TrainingDevice
from models.training.distributed import ProcessGroup
from models.training.mask_transfer import transfer_masks
from models.training.tracking import Row

# Weight of the adversarial loss of faces whose mask is taken off, guided only: with 1, as in eq. 3, what D_X takes for
# real are coloured rings and scribbles rather than mouths, and with .15 still strokes (docs/experiments.md).
_TAKING_OFF = 0.04


@dataclass(frozen=True)
class Batch:
    """One domain's images (B, 3, H, W) in [-1, 1], guides (B, 2, H, W) in [0, 1], and their positions."""

    images: Tensor
    guides: Tensor
    positions: range  # in all that training sees of the domain: what seeds their random numbers


class GeneratorObjective(nn.Module):
    """Eq. 3 for G and F: L_GAN(G) + L_GAN(F) + lambda (L_cyc + 0.5 L_identity), and the matte penalty."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.mask, self.unmask = networks["generator_mask"], networks["generator_unmask"]
        # In a tuple, so that they are not among this module's own: their weights stay as they are here.
        self.judges = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.params = params
        self.weights = _weights(params)
        self.guided = params.generator == "guided"

    def forward(
        self, plain: Tensor, plain_guides: Tensor, masked: Tensor, masked_guides: Tensor, given: Tensor
    ) -> dict[str, Tensor]:
        """Images (B, 3, H, W), guides (B, 2, H, W) of both domains -> each term, their sum `total`, the two fakes.

        `given` is what the identity loss shows F instead of x: x itself, as the paper has it, or x in another's mask.
        """
        params, count = self.params, len(plain)
        judge_masked, judge_plain = self.judges
        plain_regions, masked_regions = lower_face_region(plain_guides), lower_face_region(masked_guides)
        if params.lambda_identity:
            both = torch.cat([plain, masked]), torch.cat([plain_guides, masked_guides])
            other = torch.cat([masked, given]), torch.cat([masked_guides, plain_guides])
            put_on, matte_on = self.mask(*both)  # G(x), G(y)
            taken_off, matte_off = self.unmask(*other)  # F(y), F(x or x in a mask)
        else:
            put_on, matte_on = self.mask(plain, plain_guides)
            taken_off, matte_off = self.unmask(masked, masked_guides)
        fake_masked, fake_plain = put_on[:count], taken_off[:count]
        if self.guided:
            back_plain, _ = self.unmask(
                fake_masked, plain_guides, cycle_condition("unmask", plain, plain_regions)
            )  # F(G(x), z)
            # F hears nothing of the way back, or it writes the mask onto the face for G to read: G is told its colours.
            there = estimate_mask(masked, masked_regions)
            back_masked, _ = self.mask(fake_plain.detach(), masked_guides, appearance_code(masked, there))  # G(F(y), z)
        else:
            back_plain, _ = self.unmask(fake_masked, plain_guides)  # F(G(x))
            back_masked, _ = self.mask(fake_plain, masked_guides)  # G(F(y))
        uncovered, uncovered_regions = fake_plain, masked_regions
        if self.guided and params.lambda_identity:
            # Of F, D_X judges what has an answer, x in another's mask: without one, F goes wherever D_X errs.
            uncovered, uncovered_regions = taken_off[count:], plain_regions
        scores_masked, scores_plain = judge_masked(fake_masked), judge_plain(uncovered)
        weights = self.weights(plain_regions, scores_masked), self.weights(uncovered_regions, scores_plain)
        terms = {
            "adversarial": losses.adversarial_loss(scores_masked, params.loss, weights[0])
            + (_TAKING_OFF if self.guided else 1) * losses.adversarial_loss(scores_plain, params.loss, weights[1]),
            "cycle": losses.cycle_loss(plain, back_plain) + losses.cycle_loss(masked, back_masked),
        }
        total = terms["adversarial"] + params.lambda_cycle * terms["cycle"]
        if params.lambda_identity:
            terms["identity"] = losses.identity_loss(masked, put_on[count:]) + losses.identity_loss(
                plain, taken_off[count:]
            )
            total = total + params.lambda_cycle * params.lambda_identity * terms["identity"]
        if self.guided:
            # A mask that is put on ends somewhere in the region's edge; one that is taken off must go as a whole.
            under = covered(there, masked_regions)
            gone = under * overhang_region(masked_regions)
            terms["matte"] = losses.matte_loss(
                matte_on[:count], required_region(plain_regions), dilated_region(plain_regions)
            )
            terms["matte"] = terms["matte"] + losses.matte_loss(matte_off[:count], gone, dilated_region(masked_regions))
            terms["bare"] = losses.coverage_loss(plain, fake_masked, required_region(plain_regions))
            terms["kept"] = losses.preservation_loss(masked, fake_plain, 1 - under)
            total = total + params.lambda_matte * (terms["matte"] + terms["bare"]) + params.lambda_cycle * terms["kept"]
        # With the region that each was made by: so the pool holds both.
        shown_masked = torch.cat([fake_masked.detach(), plain_regions], dim=1)
        shown_plain = torch.cat([uncovered.detach(), uncovered_regions], dim=1)
        return {**terms, "total": total, "fake_masked": shown_masked, "fake_plain": shown_plain}


class DiscriminatorObjective(nn.Module):
    """Eq. 1 for D_Y and D_X: each on real faces and on fakes of the pool."""

    def __init__(self, networks: dict[str, nn.Module], params: TrainParams) -> None:
        super().__init__()
        self.masked, self.unmasked = networks["discriminator_masked"], networks["discriminator_unmasked"]
        self.loss = params.loss
        self.weights = _weights(params)

    def forward(
        self,
        masked: Tensor,
        masked_regions: Tensor,
        fake_masked: Tensor,
        plain: Tensor,
        plain_regions: Tensor,
        fake_plain: Tensor,
    ) -> Tensor:
        """Real images (B, 3, H, W), their regions (B, 1, H, W), shown fakes with theirs (B, 4, H, W) -> the sum."""
        return self._one(self.masked, masked, masked_regions, fake_masked) + self._one(
            self.unmasked, plain, plain_regions, fake_plain
        )

    def _one(self, judge: nn.Module, real: Tensor, regions: Tensor, shown: Tensor) -> Tensor:
        scores = judge(torch.cat([real, shown[:, :3]]))
        of_real, of_fake = scores[: len(real)], scores[len(real) :]
        weights_real, weights_fake = self.weights(regions, of_real), self.weights(shown[:, 3:], of_fake)
        return losses.discriminator_loss(of_real, of_fake, self.loss, weights_real, weights_fake)


def _weights(params: TrainParams) -> Callable[[Tensor, Tensor], Tensor | None]:
    """Which patches count: those at the region for guided generators; all alike for the paper's."""
    return losses.patch_weights if params.generator == "guided" else lambda _region, _scores: None


@dataclass(frozen=True)
class Objectives:
    """What a step calls: the two modules, or what compiles them or spreads them over processes."""

    generators: nn.Module
    discriminators: nn.Module


def make_objectives(
    state: TrainingState, params: TrainParams, machine: TrainingDevice, group: ProcessGroup
) -> Objectives:
    modules: list[nn.Module] = [
        GeneratorObjective(state.networks, params),
        DiscriminatorObjective(state.networks, params),
    ]
    made = [machine.compiled(group.wrap_ddp(module)) for module in modules]
    return Objectives(*made)


def train_step(
    state: TrainingState,
    objectives: Objectives,
    plain: Batch,
    masked: Batch,
    params: TrainParams,
    machine: TrainingDevice,
    group: ProcessGroup,
) -> Row:
    """Compute all gradients and give the losses; nothing is changed but gradients and pools.

    The caller looks at the losses, then lets the optimisers step: so a NaN never reaches the weights.
    """
    judges = state.networks["discriminator_masked"], state.networks["discriminator_unmasked"]
    for optimiser in state.optimisers.values():
        optimiser.zero_grad(set_to_none=True)

    given = plain.images
    if params.generator == "guided" and params.lambda_identity:
        dyed = mask_tints(params.seed, masked.positions).to(masked.images.device)
        given = transfer_masks(
            plain.images, lower_face_region(plain.guides), masked.images, lower_face_region(masked.guides), dyed
        )

    # Generators.
    for judge in judges:
        judge.requires_grad_(False)
    with machine.autocast():
        made = objectives.generators(plain.images, plain.guides, masked.images, masked.guides, given)
    made["total"].backward()
    for judge in judges:
        judge.requires_grad_(True)

    # Discriminators. Each process holds the whole pool and sees all fakes, and takes its own share of what is shown.
    shown = {}
    for domain, name in (("masked", "fake_masked"), ("unmasked", "fake_plain")):
        rng = stream(params.seed, POOL, domain, state.images_seen)
        shown[domain] = group.own(state.pools[domain].exchange(group.all_gather(made[name]), rng))
    with machine.autocast():
        discriminator = objectives.discriminators(
            masked.images,
            lower_face_region(masked.guides),
            shown["masked"],
            plain.images,
            lower_face_region(plain.guides),
            shown["unmasked"],
        )
    discriminator.backward()

    terms = {name: made[name] for name in ("adversarial", "cycle", "identity", "matte", "bare", "kept") if name in made}
    terms["discriminator"] = discriminator
    values = group.mean(torch.stack([value.detach() for value in terms.values()])).tolist()  # one wait for the device
    return dict(zip(terms, values, strict=True))
