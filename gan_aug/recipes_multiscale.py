"""The recipes that generate images over several scales, each with its paper's constants (05-gan 1.5).

In: nothing. Out: `Recipe` values: LapGAN, ProGAN, BigGAN, StyleGAN. Widths are the papers'.
The list of all is in gan_aug.catalogue.
"""

from functools import partial

from gan_aug.critics import Critic, Head
from gan_aug.decoders import ResnetDecoder
from gan_aug.growing import GrowingTrunk, ProgressiveDecoder, StyleDecoder
from gan_aug.laplacian import LaplacianCritic, LaplacianDecoder
from gan_aug.norms import Norm
from gan_aug.objectives import HINGE, NON_SATURATING, WASSERSTEIN
from gan_aug.penalties import R1, WGAN_GP
from gan_aug.recipes import game
from gan_aug.schedule import Average, Growth, Method, Optimiser
from gan_aug.system import Recipe
from gan_aug.terms import drift, keep_orthogonal, smooth
from gan_aug.trunks import ResnetTrunk
from gan_aug.weights import EQUALISED_LINEAR, SPECTRAL, Initialisation

LAPGAN_SGD = Optimiser(
    method=Method.SGD, lr=0.02, momentum_per_epoch=0.0008, momentum=0.7, decay_per_epoch=1.00004
)
LAPGAN = Recipe(
    name="lapgan",
    paper="Denton et al. 2015 (arXiv 1506.05751)",
    generator=partial(LaplacianDecoder),
    critic=partial(LaplacianCritic),
    phases=game(NON_SATURATING, optimiser=LAPGAN_SGD),
    d_latent=100,
    conditional=True,
    initialisation=Initialisation.KAIMING,
)
PROGAN = Recipe(
    name="progan",
    paper="Karras et al. 2018 (arXiv 1710.10196)",
    generator=partial(ProgressiveDecoder),
    critic=partial(Critic, trunk=partial(GrowingTrunk), rule=EQUALISED_LINEAR),
    phases=game(
        WASSERSTEIN,
        optimiser=Optimiser(lr=1e-3, betas=(0.0, 0.99)),
        critic=(smooth(WGAN_GP), drift()),
    ),
    d_latent=512,
    average=Average(decay=0.999),
    growth=Growth(start=4),
)
BIGGAN = Recipe(
    name="biggan",
    paper="Brock et al. 2019 (arXiv 1809.11096)",
    generator=partial(ResnetDecoder, width=96, norm=Norm.CONDITIONAL_BATCH, rule=SPECTRAL, attention_at=64),
    critic=partial(
        Critic,
        trunk=partial(ResnetTrunk, width=96, rule=SPECTRAL, attention_at=64),
        heads=(Head.PROJECTION,),
        rule=SPECTRAL,
    ),
    phases=game(
        HINGE,
        optimiser=Optimiser(lr=1e-4, betas=(0.0, 0.999)),
        critic_optimiser=Optimiser(lr=4e-4, betas=(0.0, 0.999)),
        generator=(keep_orthogonal(relaxed=True, weight=1e-4),),
    ),
    d_latent=120,
    conditional=True,
    average=Average(decay=0.9999, start=20_000),
)
STYLEGAN = Recipe(
    name="stylegan",
    paper="Karras et al. 2019 (arXiv 1812.04948), configuration of FFHQ",
    generator=partial(StyleDecoder),
    critic=partial(Critic, trunk=partial(GrowingTrunk), rule=EQUALISED_LINEAR),
    phases=game(NON_SATURATING, optimiser=Optimiser(lr=1e-3, betas=(0.0, 0.99)), critic=(smooth(R1),)),
    d_latent=512,
    average=Average(decay=0.999),
    growth=Growth(start=8),
    mixing=0.9,
)
