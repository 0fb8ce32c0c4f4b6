"""The rectified family: the identity, relu, and the functions that mend what relu does with negatives."""

from __future__ import annotations

from triode.activation import Activation, Kink, Parameter, Reference, Sampled

_MOBILENET_V3 = Reference(
    authors=(
        "A. Howard, M. Sandler, G. Chu, L.-C. Chen, B. Chen, M. Tan, W. Wang, Y. Zhu, R. Pang, V. Vasudevan, "
        "Q. V. Le, H. Adam"
    ),
    title="Searching for MobileNetV3",
    year=2019,
    venue="ICCV 2019",
    arxiv="1905.02244",
)

identity = Activation(
    name="identity",
    formula="z",
    title="Identity (linear)",
    aliases=("linear",),
    summary="Leaves its input alone; a stack of layers with it is one linear map.",
    reference=Reference(
        authors="A. M. Saxe, J. L. McClelland, S. Ganguli",
        title="Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
        year=2013,
        venue="ICLR 2014 (a study of networks that use it; no paper introduces the function)",
        arxiv="1312.6120",
    ),
    used_in="The output layer of regression networks; the linear bottlenecks of MobileNetV2; a baseline.",
    pros=(
        "Does nothing to the gradient.",
        "The control in any comparison: what it reaches, no non-linearity was needed for.",
    ),
    cons=("Depth adds no expressive power: the product of the weight matrices is one matrix.",),
    when_to_use="At the output when the target is any real number, and as the baseline to beat.",
)

relu = Activation(
    name="relu",
    formula="max(z, 0)",
    title="ReLU (rectified linear unit)",
    summary="Keeps what is positive and replaces the rest by zero.",
    kinks=(
        Kink(
            at="0", convention="the derivative at 0 is 0, the left limit (0 from the left, 1 from the right)"
        ),
    ),
    reference=Reference(
        authors="V. Nair, G. E. Hinton",
        title="Rectified Linear Units Improve Restricted Boltzmann Machines",
        year=2010,
        venue="ICML 2010 (the function was in neural networks by 1969, in K. Fukushima's work)",
    ),
    used_in="AlexNet, VGG, ResNet and most convolutional networks; the first Transformer, T5 and OPT.",
    pros=(
        "Costs one comparison.",
        "The slope is exactly 1 for every positive input, so active paths do not shrink the gradient.",
        "Sparse: for inputs symmetric about zero, half of the outputs are exactly 0.",
    ),
    cons=(
        "A unit that is negative for every example has no gradient and may never recover: it is dead.",
        "Not centred on zero: mean output 0.39894 for z ~ N(0, 1).",
        "The slope jumps at 0, which second-order methods and physics-informed losses feel.",
    ),
    when_to_use=(
        "The first choice for convolutional networks and multilayer perceptrons, with He initialisation. "
        "Leave it when a full pass over the data shows many dead units, or when the network's own second "
        "derivatives are needed."
    ),
)

leaky_relu = Activation(
    name="leaky_relu",
    formula="where(z > 0, z, alpha * z)",
    title="Leaky ReLU",
    aliases=("leakyrelu", "lrelu"),
    summary="Like relu, but negatives keep a small fixed slope alpha instead of none.",
    parameters=(Parameter("alpha", 0.01, "slope for negative inputs"),),
    kinks=(
        Kink(
            at="0",
            convention="the derivative at 0 is alpha, the left limit (alpha from the left, 1 from the right)",
        ),
    ),
    reference=Reference(
        authors="A. L. Maas, A. Y. Hannun, A. Y. Ng",
        title="Rectifier Nonlinearities Improve Neural Network Acoustic Models",
        year=2013,
        venue="ICML 2013 Workshop on Deep Learning for Audio, Speech and Language Processing",
    ),
    used_in=(
        "Discriminators of generative adversarial networks (alpha 0.2 in DCGAN); YOLO's Darknet (alpha 0.1)."
    ),
    pros=(
        "The gradient is never zero while alpha is not, so a unit that went negative can return.",
        "As cheap as relu.",
    ),
    cons=(
        "With alpha = 0.01 the negative gradient is a hundredth: recovery is possible, not quick.",
        "Gives up the exact zeros of relu.",
        "alpha is one more number to choose; defaults differ between libraries.",
    ),
    when_to_use=(
        "When relu leaves dead units, and in discriminators. A slope of 0.1 to 0.2 does more than 0.01."
    ),
)

prelu = Activation(
    name="prelu",
    formula="where(z > 0, z, alpha * z)",
    title="PReLU (parametric ReLU)",
    summary="A leaky relu whose negative slope is learned with the weights, one for all or one a channel.",
    parameters=(Parameter("alpha", 0.25, "slope for negative inputs", learnable=True, learned=True),),
    kinks=(
        Kink(
            at="0",
            convention="the derivative at 0 is alpha, the left limit (alpha from the left, 1 from the right)",
        ),
    ),
    reference=Reference(
        authors="K. He, X. Zhang, S. Ren, J. Sun",
        title="Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification",
        year=2015,
        venue="ICCV 2015",
        arxiv="1502.01852",
    ),
    used_in="Image super-resolution (SRGAN's generator) and face recognition networks.",
    pros=(
        "The data choose the slope; a slope that ends near 1 says that a layer wants to be linear.",
        "At most one extra parameter a channel.",
    ),
    cons=(
        "Weight decay pulls alpha to 0, that is, to relu: exclude alpha from it.",
        "Can overfit on small data sets.",
        "Its paper's 4.94 % top-5 error was on ImageNet 2012; the 2015 contest was won by ResNet, with relu.",
    ),
    when_to_use="When leaky relu helps and there are enough data to let each channel choose its own slope.",
)

rrelu = Activation(
    name="rrelu",
    formula="where(z > 0, z, (lower + upper) / 2 * z)",
    title="RReLU (randomised leaky ReLU)",
    summary="A leaky relu whose negative slope is random in training and is the mean in evaluation.",
    parameters=(
        Parameter("lower", 1 / 8, "smallest negative slope that is drawn", minimum=0.0),
        Parameter("upper", 1 / 3, "largest negative slope that is drawn, not below lower", minimum=0.0),
    ),
    sampled=Sampled("slope", "lower", "upper", "where(z > 0, z, slope * z)"),
    kinks=(
        Kink(
            at="0",
            convention=(
                "the derivative at 0 is (lower + upper) / 2, the left limit ((lower + upper) / 2 from the "
                "left, 1 from the right)"
            ),
        ),
    ),
    reference=Reference(
        authors="B. Xu, N. Wang, T. Chen, M. Li",
        title="Empirical Evaluation of Rectified Activations in Convolutional Network",
        year=2015,
        venue="arXiv",
        arxiv="1505.00853",
    ),
    used_in="Small-data image classification; it became known through Kaggle's plankton competition (NDSB).",
    pros=(
        "The random slope regularises, as dropout does.",
        "Negative units always receive a gradient.",
    ),
    cons=(
        "Training is noisier, and training and evaluation compute different functions.",
        "The mean slope here is 0.22917, as in PyTorch; the paper draws a divisor, whose mean is 5.5.",
    ),
    when_to_use="On small data sets that overfit, as an alternative to dropout in convolutional layers.",
)

relu6 = Activation(
    name="relu6",
    formula="min(max(z, 0), 6)",
    title="ReLU6",
    summary="relu cut off at 6, so that low-precision arithmetic can represent every output.",
    kinks=(
        Kink(
            at="0", convention="the derivative at 0 is 0, the left limit (0 from the left, 1 from the right)"
        ),
        Kink(
            at="6", convention="the derivative at 6 is 0, the right limit (1 from the left, 0 from the right)"
        ),
    ),
    reference=Reference(
        authors="A. Krizhevsky",
        title="Convolutional Deep Belief Networks on CIFAR-10",
        year=2010,
        venue="unpublished manuscript, University of Toronto",
    ),
    used_in="MobileNetV2 and other networks for phones.",
    pros=("A known, small range, which suits fixed-point inference.", "Costs two comparisons."),
    cons=(
        "The gradient is exactly zero above 6 as well as below 0.",
        "The bound 6 is arbitrary and interacts with the scale of the weights.",
    ),
    when_to_use="For networks that will be quantised to eight bits or fewer; elsewhere plain relu.",
)

squared_relu = Activation(
    name="squared_relu",
    formula="max(z, 0)**2",
    title="Squared ReLU",
    aliases=("squaredrelu", "relu2", "relu_squared"),
    summary="The square of relu: zero for negatives, a parabola for positives, with a continuous slope.",
    kinks=(
        Kink(
            at="0",
            order=2,
            convention="the second derivative at 0 is 0, the left limit (0 from the left, 2 from the right)",
        ),
    ),
    reference=Reference(
        authors="D. R. So, W. Mańke, H. Liu, Z. Dai, N. Shazeer, Q. V. Le",
        title="Primer: Searching for Efficient Transformers for Language Modeling",
        year=2021,
        venue="NeurIPS 2021",
        arxiv="2109.08668",
    ),
    used_in="The feed-forward blocks of Primer and of NVIDIA's Nemotron-4 language models.",
    pros=(
        "Cheap and as sparse as relu, with a slope that does not jump.",
        "Equal to reglu when both of its inputs are the same.",
    ),
    cons=(
        "Grows like z^2: large activations become huge, so normalise first and mind half precision.",
        "The slope, 2 z, is unbounded, and units can die as with relu.",
    ),
    when_to_use="In the feed-forward blocks of Transformers; not in deep stacks without normalisation.",
)

hard_swish = Activation(
    name="hard_swish",
    formula="where(z <= -3, 0, where(z >= 3, z, z * (z + 3) / 6))",
    title="Hard swish",
    aliases=("hardswish", "hard_silu"),
    summary="z times the hard sigmoid: swish without an exponential.",
    kinks=(
        Kink(
            at="-3",
            convention="the derivative at -3 is 0, the left limit (0 from the left, -1 / 2 from the right)",
        ),
        Kink(
            at="3",
            convention="the derivative at 3 is 1, the right limit (3 / 2 from the left, 1 from the right)",
        ),
    ),
    reference=_MOBILENET_V3,
    used_in="The deeper half of MobileNetV3; networks for phones and microcontrollers.",
    pros=(
        "Close to swish for a few cheap operations, and friendly to quantisation.",
        "Negative outputs around its minimum -0.375 at z = -1.5 bring the mean nearer to zero than relu's.",
    ),
    cons=(
        "Exactly zero, with no gradient, below -3: units can die.",
        "Unlike swish it has corners, where the slope jumps by a half.",
    ),
    when_to_use="Where swish would be used but an exponential costs too much, as on mobile processors.",
)

elu = Activation(
    name="elu",
    formula="where(z > 0, z, alpha * expm1(z))",
    title="ELU (exponential linear unit)",
    summary="The identity for positives; negatives bend smoothly down to -alpha.",
    parameters=(Parameter("alpha", 1.0, "depth of the negative plateau, at -alpha", minimum=0.0),),
    kinks=(
        Kink(
            at="0",
            order=2,
            convention=(
                "the second derivative at 0 is alpha, the left limit (alpha from the left, 0 from the "
                "right); unless alpha is 1 the first derivative jumps too, and is alpha there, its left "
                "limit"
            ),
        ),
    ),
    reference=Reference(
        authors="D.-A. Clevert, T. Unterthiner, S. Hochreiter",
        title="Fast and Accurate Deep Network Learning by Exponential Linear Units (ELUs)",
        year=2015,
        venue="ICLR 2016",
        arxiv="1511.07289",
    ),
    used_in="EEGNet for brain signals; policies for legged robots in reinforcement learning.",
    pros=(
        "Nearer to zero mean than relu: mean output 0.16052 for z ~ N(0, 1).",
        "Negative inputs keep a gradient, alpha exp(z), which dies only gradually.",
        "The plateau at -alpha makes strongly negative inputs harmless.",
    ),
    cons=(
        "The slope is continuous only for alpha = 1, and even then the second derivative jumps at 0.",
        "Costs an exponential for negative inputs.",
        "Nearer to zero mean is not zero mean.",
    ),
    when_to_use="In place of relu when units die or no layer normalises, if the exponential is affordable.",
)

selu = Activation(
    name="selu",
    formula=(
        "1.0507009873554804934193349852946 * where(z > 0, z, 1.6732632423543772848170429916717 * expm1(z))"
    ),
    title="SELU (scaled exponential linear unit)",
    summary="An elu scaled so that zero mean and unit variance are a fixed point of a wide layer.",
    kinks=(
        Kink(
            at="0",
            convention=(
                "the derivative at 0 is 1.7580993408473769, the left limit (1.7580993408473769 from the "
                "left, 1.0507009873554805 from the right)"
            ),
        ),
    ),
    reference=Reference(
        authors="G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter",
        title="Self-Normalizing Neural Networks",
        year=2017,
        venue="NeurIPS 2017",
        arxiv="1706.02515",
    ),
    used_in="Deep fully connected networks on tabular and molecular data, without normalisation layers.",
    pros=(
        "Mean output 0.00000 for z ~ N(0, 1), and variance 1: layers normalise themselves.",
        "The paper proves that the fixed point attracts, so signals neither vanish nor explode.",
    ),
    cons=(
        "It needs LeCun normal initialisation, alpha dropout and plain dense layers without skips.",
        "The slope jumps at 0, from 1.7581 to 1.0507.",
        "Costs an exponential for negative inputs.",
    ),
    when_to_use="For deep multilayer perceptrons without batch normalisation; follow the whole recipe.",
)

celu = Activation(
    name="celu",
    formula="where(z > 0, z, alpha * expm1(z / alpha))",
    title="CELU (continuously differentiable ELU)",
    summary="An elu whose slope is continuous for every alpha, because alpha scales the input as well.",
    parameters=(
        Parameter(
            "alpha", 1.0, "depth of the negative plateau, at -alpha", minimum=0.0, exclusive_minimum=True
        ),
    ),
    # The chain rule multiplies by alpha and by its reciprocal; written out, neither rounding happens.
    stable={1: "where(z > 0, 1, exp(z / alpha))"},
    kinks=(
        Kink(
            at="0",
            order=2,
            convention=(
                "the second derivative at 0 is 1 / alpha, the left limit (1 / alpha from the left, 0 from "
                "the right)"
            ),
        ),
    ),
    reference=Reference(
        authors="J. T. Barron",
        title="Continuously Differentiable Exponential Linear Units",
        year=2017,
        venue="arXiv",
        arxiv="1704.07483",
    ),
    used_in="Rare; a drop-in for elu where alpha is tuned.",
    pros=(
        "The slope is continuous and never above 1, whatever alpha is.",
        "Runs from relu (alpha to 0) to the identity (alpha to infinity).",
    ),
    cons=("With alpha = 1 it is elu; nothing is gained.", "Costs an exponential for negative inputs."),
    when_to_use="When the depth of the negative plateau is to be tuned without a corner at 0.",
)
