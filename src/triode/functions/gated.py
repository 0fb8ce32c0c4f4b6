"""The gated family: two inputs of one shape, multiplied after one of them has passed through an activation.

Order matters and libraries differ, so each declaration says it. ``glu(z, u)`` takes the value first and the
gate second, as Dauphin and others (2016) write it and as PyTorch splits its input. The variants of Shazeer
(2020) put the first input through the activation: ``swiglu(z, u) = swish(z) * u``.
"""

from __future__ import annotations

from triode.activation import Activation, Kink, Reference

_SHAZEER = Reference(
    authors="N. Shazeer",
    title="GLU Variants Improve Transformer",
    year=2020,
    venue="arXiv",
    arxiv="2002.05202",
)

glu = Activation(
    name="glu",
    formula="z * sigmoid(u)",
    title="GLU (gated linear unit)",
    inputs=("z", "u"),
    summary="The first input is the value and stays linear; the second, through a sigmoid, is the gate.",
    reference=Reference(
        authors="Y. N. Dauphin, A. Fan, M. Auli, D. Grangier",
        title="Language Modeling with Gated Convolutional Networks",
        year=2016,
        venue="ICML 2017",
        arxiv="1612.08083",
    ),
    used_in="Gated convolutional language models; the convolution module of the Conformer for speech.",
    pros=(
        "The value has a linear path, scaled by the gate, along which gradients do not saturate.",
        "The network decides, for each feature and each example, how much to let through.",
    ),
    cons=(
        "It needs two linear maps for one output, so at equal width the layer has twice the weights.",
        "The order of the inputs is a convention: Shazeer's GLU applies the sigmoid to the first.",
        "A gate that is driven far below zero closes, and its own gradient then fades.",
    ),
    when_to_use=(
        "Where features should be selected by context, in convolutional sequence models above all. In a "
        "Transformer's feed-forward block try swiglu or geglu first."
    ),
)

reglu = Activation(
    name="reglu",
    formula="max(z, 0) * u",
    title="ReGLU",
    inputs=("z", "u"),
    summary="The first input passes through relu and gates the second, which stays linear.",
    kinks=(
        Kink(
            at="0",
            convention="the derivative in z at 0 is 0, the left limit (0 from the left, u from the right)",
        ),
    ),
    reference=_SHAZEER,
    used_in="Ablations of Transformer feed-forward blocks; language models that are made sparse on purpose.",
    pros=(
        "The cheapest of the gated variants: no exponential.",
        "Exact zeros, which sparse kernels can skip.",
    ),
    cons=(
        "Where z <= 0 both gradients are exactly zero, so units can die as with relu.",
        "Three weight matrices in a feed-forward block instead of two.",
    ),
    when_to_use="When a gated block is wanted and sparsity or cost matters more than smoothness.",
)

geglu = Activation(
    name="geglu",
    formula="z * ndtr(z) * u",
    title="GEGLU",
    inputs=("z", "u"),
    summary="The first input passes through the exact gelu and gates the second, which stays linear.",
    reference=_SHAZEER,
    used_in=(
        "T5 version 1.1 and Gemma (both with the tanh approximation of gelu); diffusion models' attention "
        "blocks."
    ),
    pros=(
        "In Shazeer's comparison, with swiglu, the lowest perplexity at equal parameters and equal compute.",
        "Smooth in both inputs.",
    ),
    cons=(
        "Three weight matrices in a feed-forward block: take 2/3 of the hidden width to compare fairly.",
        "Implementations differ in which half of a split tensor is the gate and in which gelu they use.",
        "The product is unbounded in both inputs, so half precision can overflow sooner than with gelu.",
    ),
    when_to_use="In the feed-forward block of a Transformer, as an equal alternative to swiglu.",
)

swiglu = Activation(
    name="swiglu",
    formula="z * sigmoid(z) * u",
    title="SwiGLU",
    inputs=("z", "u"),
    summary="The first input passes through swish (beta = 1) and gates the second, which stays linear.",
    reference=_SHAZEER,
    used_in="PaLM, the LLaMA family, and most open large language models since.",
    pros=(
        "In Shazeer's comparison, with geglu, the lowest perplexity at equal parameters and equal compute.",
        "Smooth in both inputs, and the product lets the block form second-order terms.",
    ),
    cons=(
        "Three weight matrices in a feed-forward block: take 2/3 of the hidden width to compare fairly.",
        "The product is unbounded in both inputs, so half precision can overflow sooner than with swish.",
        "Why it helps is not explained; the paper itself offers no reason.",
    ),
    when_to_use="The usual choice for the feed-forward block of a new Transformer language model.",
)
