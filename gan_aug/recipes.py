"""The recipes that generate images at one scale, each with its paper's constants (05-gan 1.1 to 1.4).

In: nothing. Out: `Recipe` values. Widths are the papers'; ask for less where a processor must do.
Those of several scales are in gan_aug.recipes_multiscale, the list of all in gan_aug.catalogue.
"""

from dataclasses import replace
from functools import partial

from gan_aug.conditioning import InfoCode
from gan_aug.critics import Critic, Head
from gan_aug.decoders import DcganDecoder, ResnetDecoder
from gan_aug.norms import Norm
from gan_aug.objectives import HINGE, LEAST_SQUARES, MINIMAX, NON_SATURATING, WASSERSTEIN, Objective
from gan_aug.penalties import DRAGAN, R1, R2, WGAN_DIV, WGAN_GP, WGAN_LP
from gan_aug.schedule import Average, Method, Optimiser, Phase
from gan_aug.system import Recipe
from gan_aug.terms import (
    Term,
    fool,
    judge_apart,
    keep_orthogonal,
    matching_aware,
    name_class,
    recover_code,
    smooth,
)
from gan_aug.trunks import DcganTrunk, ResnetTrunk
from gan_aug.weights import SPECTRAL, Constraint, Initialisation, WeightRule

DCGAN_ADAM = Optimiser(lr=2e-4, betas=(0.5, 0.999))
# Without batch normalisation, so that scores and penalties are of one sample.
SINGLE = partial(Critic, trunk=partial(DcganTrunk, norm=Norm.NONE))


def game(
    objective: Objective,
    *,
    optimiser: Optimiser = DCGAN_ADAM,
    critic_optimiser: Optimiser | None = None,
    critic: tuple[Term, ...] = (),
    generator: tuple[Term, ...] = (),
    critic_steps: int = 1,
) -> tuple[Phase, Phase]:
    """Return the two phases of a game: the critic's, with further terms, then the generator's."""
    return (
        Phase(
            train=("critic",),
            terms=(judge_apart(objective), *critic),
            optimiser=critic_optimiser or optimiser,
            repeats=critic_steps,
        ),
        Phase(train=("generator",), terms=(fool(objective), *generator), optimiser=optimiser),
    )


GAN = Recipe(
    name="gan",
    paper="Goodfellow et al. 2014, eq. 1 (arXiv 1406.2661), networks of Radford et al. 2016 (arXiv 1511.06434)",
    generator=partial(DcganDecoder),
    critic=partial(Critic, trunk=partial(DcganTrunk)),
    phases=game(MINIMAX),
    d_latent=100,
    initialisation=Initialisation.NORMAL,
)
GAN_NS = replace(
    GAN,
    name="gan-ns",
    paper="Goodfellow et al. 2014, section 3 (arXiv 1406.2661)",
    phases=game(NON_SATURATING),
)
LSGAN = replace(GAN, name="lsgan", paper=LEAST_SQUARES.source, phases=game(LEAST_SQUARES))
HINGE_GAN = replace(GAN, name="hinge", paper=HINGE.source, phases=game(HINGE), critic=SINGLE)
CGAN = replace(
    GAN_NS,
    name="cgan",
    paper="Mirza and Osindero 2014 (arXiv 1411.1784)",
    critic=partial(Critic, trunk=partial(DcganTrunk), joined=True),
    conditional=True,
)
MATCHING_GAN = replace(
    CGAN,
    name="cgan-matching",
    paper="Reed et al. 2016 (arXiv 1605.05396); Perarnau et al. 2016 (arXiv 1611.06355)",
    phases=(
        replace(CGAN.phases[0], terms=(matching_aware(),)),
        CGAN.phases[1],
    ),
)
ACGAN = replace(
    GAN_NS,
    name="acgan",
    paper="Odena et al. 2017 (arXiv 1610.09585)",
    critic=partial(Critic, trunk=partial(DcganTrunk), heads=(Head.SCALAR, Head.CLASS)),
    conditional=True,
    phases=game(
        NON_SATURATING,
        critic=(name_class(of="real"), name_class(of="fake")),
        generator=(name_class(of="fake"),),
    ),
)
PROJECTION = Recipe(
    name="projection",
    paper="Miyato and Koyama 2018 (arXiv 1802.05637)",
    generator=partial(ResnetDecoder, norm=Norm.CONDITIONAL_BATCH),
    critic=partial(
        Critic, trunk=partial(ResnetTrunk, rule=SPECTRAL), heads=(Head.PROJECTION,), rule=SPECTRAL
    ),
    phases=game(HINGE, optimiser=Optimiser(betas=(0.0, 0.9), decay_from=0.0), critic_steps=5),
    conditional=True,
)
INFOGAN = replace(
    GAN_NS,
    name="infogan",
    paper="Chen et al. 2016 (arXiv 1606.03657)",
    critic=partial(Critic, trunk=partial(DcganTrunk), heads=(Head.SCALAR, Head.CODE)),
    code=InfoCode(categories=(10,), continuous=2),
    d_latent=62,
    phases=game(
        NON_SATURATING,
        optimiser=replace(DCGAN_ADAM, lr=1e-3),
        critic_optimiser=DCGAN_ADAM,
        critic=(recover_code(),),
        generator=(recover_code(),),
    ),
)
WGAN_RMSPROP = Optimiser(method=Method.RMSPROP, lr=5e-5, betas=(0.0, 0.99))
WGAN = replace(
    GAN,
    name="wgan",
    paper="Arjovsky et al. 2017 (arXiv 1701.07875)",
    phases=(
        Phase(
            train=("critic",),
            terms=(judge_apart(WASSERSTEIN),),
            optimiser=WGAN_RMSPROP,
            repeats=5,
            warm_repeats=100,
            warm_steps=25,
            warm_every=500,
            clip_weights=0.01,
        ),
        Phase(train=("generator",), terms=(fool(WASSERSTEIN),), optimiser=WGAN_RMSPROP),
    ),
)
WGAN_GP_SYSTEM = Recipe(
    name="wgan-gp",
    paper=WGAN_GP.source,
    generator=partial(ResnetDecoder),
    critic=partial(Critic, trunk=partial(ResnetTrunk)),
    phases=game(
        WASSERSTEIN,
        optimiser=Optimiser(betas=(0.0, 0.9), decay_from=0.0),
        critic=(smooth(WGAN_GP),),
        critic_steps=5,
    ),
    initialisation=Initialisation.KAIMING,
)
WGAN_LP_SYSTEM = replace(
    WGAN_GP_SYSTEM,
    name="wgan-lp",
    paper=WGAN_LP.source,
    phases=game(
        WASSERSTEIN,
        optimiser=WGAN_GP_SYSTEM.phases[0].optimiser,
        critic=(smooth(WGAN_LP),),
        critic_steps=5,
    ),
)
R1_GAN = Recipe(
    name="gan-r1",
    paper=R1.source,
    generator=partial(ResnetDecoder, norm=Norm.NONE, residual=0.1),
    critic=partial(Critic, trunk=partial(ResnetTrunk, residual=0.1)),
    phases=game(
        NON_SATURATING,
        optimiser=Optimiser(method=Method.RMSPROP, lr=1e-4, betas=(0.0, 0.99)),
        critic=(smooth(R1),),
    ),
    d_latent=256,
    average=Average(decay=0.999),
    initialisation=Initialisation.KAIMING,
)
R2_GAN = replace(
    R1_GAN,
    name="gan-r2",
    phases=game(NON_SATURATING, optimiser=R1_GAN.phases[0].optimiser, critic=(smooth(R2),)),
)
WGAN_DIV_SYSTEM = replace(
    GAN,
    name="wgan-div",
    paper=WGAN_DIV.source,
    critic=SINGLE,
    phases=game(WASSERSTEIN, critic=(smooth(WGAN_DIV),), critic_steps=5),
)
DRAGAN_SYSTEM = replace(
    GAN,
    name="dragan",
    paper=DRAGAN.source,
    critic=SINGLE,
    phases=game(NON_SATURATING, critic=(smooth(DRAGAN),)),
)
SNGAN = Recipe(
    name="sngan",
    paper="Miyato et al. 2018 (arXiv 1802.05957)",
    generator=partial(ResnetDecoder),
    critic=partial(Critic, trunk=partial(ResnetTrunk, rule=SPECTRAL), rule=SPECTRAL),
    phases=PROJECTION.phases,
    # At gain 1 gradients vanish on points of the plane.
    point_rule=WeightRule(constraint=Constraint.SPECTRAL, gain=2.0),
)
ORTHOGONAL_GAN = replace(
    HINGE_GAN,
    name="ortho",
    paper="Brock et al. 2017 (arXiv 1609.07093), eq. 2 of the survey",
    initialisation=Initialisation.ORTHOGONAL,
    phases=game(HINGE, generator=(keep_orthogonal(relaxed=False),)),
)
