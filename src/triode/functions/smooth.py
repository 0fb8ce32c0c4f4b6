"""The smooth family: softplus, and the self-gated functions z F(z), whose gate F rises from 0 to 1."""

from __future__ import annotations

from triode.activation import Activation, Kink, Parameter, Reference

_GELU_PAPER = "Gaussian Error Linear Units (GELUs)"
_GELU_AUTHORS = "D. Hendrycks, K. Gimpel"

softplus = Activation(
    name="softplus",
    formula="softplus(beta * z) / beta",
    title="Softplus",
    aliases=("soft_plus",),
    summary="A smooth, always positive version of relu whose slope is the sigmoid.",
    parameters=(
        Parameter("beta", 1.0, "sharpness: larger is nearer to relu", minimum=0.0, exclusive_minimum=True),
    ),
    reference=Reference(
        authors="C. Dugas, Y. Bengio, F. Bélisle, C. Nadeau, R. Garcia",
        title="Incorporating Second-Order Functional Knowledge for Better Option Pricing",
        year=2000,
        venue="NeurIPS 2000 (NIPS 13)",
    ),
    used_in="Outputs that must be positive, such as variances and rates; the step size in Mamba.",
    pros=(
        "Strictly positive, increasing, convex, and differentiable any number of times.",
        "The slope, sigmoid(beta z), lies strictly between 0 and 1.",
    ),
    cons=(
        "Far from centred: with beta = 1 its value at 0 is already 0.69315 (ln 2).",
        "No exact zeros, so no sparsity.",
        "Costs an exponential and a logarithm.",
    ),
    when_to_use=(
        "To make an output positive. As a hidden activation, only where a smooth convex function is required."
    ),
)

gelu = Activation(
    name="gelu",
    formula="z * ndtr(z)",
    title="GELU (Gaussian error linear unit)",
    summary="z times the probability that a standard normal variable is below z; the exact form.",
    reference=Reference(
        authors=_GELU_AUTHORS, title=_GELU_PAPER, year=2016, venue="arXiv", arxiv="1606.08415"
    ),
    used_in="Vision Transformers and ConvNeXt, RoBERTa and most PyTorch versions of BERT.",
    pros=(
        "Smooth: it has every derivative, and its slope passes through 0.5 at z = 0.",
        "Moderately negative inputs still pass a gradient, so units rarely die.",
        "Reads as the mean of a random gate that opens with probability Phi(z).",
    ),
    cons=(
        "Not centred on zero: mean output 0.28209 for z ~ N(0, 1).",
        "Not monotone: minimum -0.16997 at z = -0.75179, and a negative slope to the left of it.",
        "Beyond about z = -5 the gradient is tiny, and careless code (1 + erf) returns exact zeros there.",
        "Gains over relu are small and depend on the task; measure them.",
    ),
    when_to_use=(
        "The usual choice in Transformer blocks without a gate. When loading published weights, first find "
        "out whether they were trained with this form or with gelu_tanh."
    ),
)

gelu_tanh = Activation(
    name="gelu_tanh",
    formula="0.5 * z * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z**3)))",
    title="GELU, tanh approximation",
    aliases=("gelu_new", "gelu_approximate", "gelu_pytorch_tanh"),
    summary="The approximation of gelu by a tanh of a cubic, from the same paper; a function of its own.",
    # 1 + tanh cancels for negative z; (1 + tanh y) / 2 is sigmoid(2 y), which does not.
    stable={0: "z * sigmoid(2 * sqrt(2 / pi) * (z + 0.044715 * z**3))"},
    reference=Reference(
        authors=_GELU_AUTHORS, title=_GELU_PAPER, year=2016, venue="arXiv", arxiv="1606.08415"
    ),
    used_in=(
        "Google's own BERT code, GPT-2, and Gemma (inside geglu). GPT-3's paper says that it keeps GPT-2's "
        "architecture; what later GPT models use is not published."
    ),
    pros=(
        "Within 0.00048 of the exact function everywhere.",
        "Needs no error function; a tanh is enough.",
    ),
    cons=(
        "In relative terms the left tail is wrong: 10 % too small at z = -3 and 84 % too small at z = -5.",
        "Not interchangeable with gelu to the last digit: run a model with the form that trained it.",
        "With good code for both it is hardly faster than the exact form, if at all.",
        "Not monotone, like gelu: minimum -0.17004 at z = -0.75246.",
    ),
    when_to_use=(
        "For weights that were trained with it; for a new model the exact gelu is the simpler choice."
    ),
)

swish = Activation(
    name="swish",
    formula="z * sigmoid(beta * z)",
    title="Swish (SiLU)",
    aliases=("silu",),
    summary="z times its own sigmoid; with beta = 1 it is the SiLU, and beta may be learned.",
    parameters=(
        Parameter(
            "beta", 1.0, "sharpness of the gate: 0 gives z / 2, large values approach relu", learnable=True
        ),
    ),
    reference=Reference(
        authors="P. Ramachandran, B. Zoph, Q. V. Le",
        title="Searching for Activation Functions",
        year=2017,
        venue=(
            "arXiv (as SiLU in Hendrycks and Gimpel, 2016, and in Elfwing, Uchibe and Doya, arXiv:1702.03118)"
        ),
        arxiv="1710.05941",
    ),
    used_in="EfficientNet, later YOLO versions, diffusion U-Nets; inside swiglu in large language models.",
    pros=(
        "Smooth, and cheap for a smooth function: one exponential.",
        "Moderately negative inputs keep a gradient; its tail is heavier than that of gelu.",
        "Proposed by hand, and then found again by an automated search over many formulas.",
    ),
    cons=(
        "Not centred on zero: for beta = 1, mean output 0.20662 for z ~ N(0, 1).",
        "Not monotone: for beta = 1, minimum -0.27846 at z = -1.27846.",
        "Costs an exponential, and the gain over relu depends on the network.",
    ),
    when_to_use="In deep convolutional networks such as EfficientNet, and wherever gelu would do as well.",
)

mish = Activation(
    name="mish",
    formula="z * tanh(softplus(z))",
    # With e = exp(-|z|), tanh(softplus(z)) is rational in e: one exponential instead of three, and the factor z
    # joins it before e becomes subnormal. The second derivative in this form would cancel for large z; in the
    # derived form it does not.
    stable={
        0: "where(z < 0, z * exp(z) * (exp(z) + 2) / (exp(z) * (exp(z) + 2) + 2), "
        "z * (1 + 2 * exp(-z)) / (1 + 2 * exp(-z) * (1 + exp(-z))))",
        1: "where(z < 0, exp(z) * (exp(z) + 2) / (exp(z) * (exp(z) + 2) + 2) "
        "+ z * exp(z) * (4 * (1 + exp(z))) / (exp(z) * (exp(z) + 2) + 2)**2, "
        "(1 + 2 * exp(-z)) / (1 + 2 * exp(-z) * (1 + exp(-z))) "
        "+ z * (4 * exp(-z) * (1 + exp(-z))) * exp(-z) / (1 + 2 * exp(-z) * (1 + exp(-z)))**2)",
        2: "8 * logistic_pdf(2 * softplus(z)) * sigmoid(z) + where(z < 0, "
        "z * (4 * logistic_pdf(2 * softplus(z))) * (sigmoid(-z) - 2 * tanh(softplus(z)) * sigmoid(z)) * sigmoid(z), "
        "z * 4 * sigmoid(z) * (sigmoid(-z) - 2 * tanh(softplus(z)) * sigmoid(z)) * logistic_pdf(2 * softplus(z)))",
    },
    title="Mish",
    summary="A self-gated function much like swish, with tanh(softplus(z)) as the gate.",
    reference=Reference(
        authors="D. Misra",
        title="Mish: A Self Regularized Non-Monotonic Activation Function",
        year=2019,
        venue="BMVC 2020",
        arxiv="1908.08681",
    ),
    used_in="The backbone of YOLOv4; entries in image classification contests.",
    pros=(
        "Smooth, unbounded above, and bounded below.",
        "In its author's depth sweep (MNIST, one run) it trained deeper networks than swish did.",
    ),
    cons=(
        "The dearest of the common ones when it is written naively: an exponential, a logarithm and a tanh.",
        "Not monotone: minimum -0.30884 at z = -1.19243.",
        "Not centred on zero: mean output 0.24040 for z ~ N(0, 1).",
    ),
    when_to_use=(
        "In detectors and deep convolutional networks where swish works and the extra time is affordable."
    ),
)

laplace_gelu = Activation(
    name="laplace_gelu",
    formula="z * where(z < 0, exp(z) / 2, 1 - exp(-z) / 2)",
    title="Laplace GELU",
    aliases=("laplace_elu",),
    summary="z times the Laplace distribution function: gelu with a double-exponential gate.",
    # The product moves inside the branches, so that no derivative adds terms that belong to the other branch.
    stable={0: "where(z < 0, z * exp(z) / 2, z * (1 - exp(-z) / 2))"},
    kinks=(
        Kink(
            at="0",
            order=3,
            convention=(
                "the third derivative at 0 is -3 / 2, the right limit (3 / 2 from the left, -3 / 2 from the "
                "right)"
            ),
        ),
    ),
    reference=Reference(
        authors=_GELU_AUTHORS,
        title=_GELU_PAPER,
        year=2016,
        venue="arXiv (the family z F(z); no paper that we know of studies the Laplace member)",
        arxiv="1606.08415",
    ),
    used_in=(
        "No published network that we know of; an exercise on how much the choice of distribution matters."
    ),
    pros=(
        "One exponential, and two continuous derivatives.",
        "A simple closed form: minimum -0.18394 at z = -1, which is -1 / (2 e).",
    ),
    cons=("Its third derivative jumps at 0.", "Not monotone, and little tried in practice."),
    when_to_use="To compare gates: its left tail fades like z exp(z), as that of swish; gelu's fades faster.",
)

cauchy_gelu = Activation(
    name="cauchy_gelu",
    formula="z * cauchy_cdf(z)",
    title="Cauchy GELU",
    aliases=("cauchy_elu",),
    summary=(
        "z times the Cauchy distribution function; the heavy tails make it monotone, with a plateau at -1/pi."
    ),
    # In the left tail F + z f cancels: with w = -1 / z what remains is (atan(w) - w / (1 + w^2)) / pi, about
    # 2 w^3 / (3 pi); the right tail is 1 minus that. The second derivative, 2 f + z f', is a single square.
    stable={
        1: (
            "where(z < -1, segment_area(-1 / z) / pi, "
            "where(z > 1, 1 - segment_area(1 / z) / pi, cauchy_cdf(z) + z * cauchy_pdf(z)))"
        ),
        2: "2 * pi * cauchy_pdf(z)**2",
    },
    reference=Reference(
        authors=_GELU_AUTHORS,
        title=_GELU_PAPER,
        year=2016,
        venue="arXiv (the family z F(z); no paper that we know of studies the Cauchy member)",
        arxiv="1606.08415",
    ),
    used_in=(
        "No published network that we know of; an exercise on how much the choice of distribution matters."
    ),
    pros=(
        "Increasing and convex everywhere, unlike gelu, swish and mish.",
        "The gradient for negative z fades only like |z|^-3, so no unit is ever wholly dead.",
    ),
    cons=(
        "It does not tend to zero for negative inputs but to -0.31831, and for positive ones to z - 0.31831.",
        "Costs an arctangent.",
    ),
    when_to_use="To see what heavy tails in the gate do to gradients in a deep network.",
)
