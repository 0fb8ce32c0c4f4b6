"""The sigmoidal family: monotone squashing functions, and the logarithm of the logistic function."""

from __future__ import annotations

from triode.activation import Activation, Kink, Reference

sigmoid = Activation(
    name="sigmoid",
    formula="sigmoid(z)",
    title="Sigmoid (logistic function)",
    aliases=("logistic", "expit"),
    summary=(
        "Squashes every real number into (0, 1), as the cumulative distribution function of the logistic law."
    ),
    reference=Reference(
        authors="D. E. Rumelhart, G. E. Hinton, R. J. Williams",
        title="Learning representations by back-propagating errors",
        year=1986,
        venue=(
            "Nature 323, 533-536 (the function itself is Verhulst's logistic curve of the nineteenth century)"
        ),
    ),
    used_in=(
        "Binary and multi-label classifier outputs; the gates of LSTM and GRU cells; squeeze-and-excitation "
        "blocks."
    ),
    pros=(
        "The output reads as a probability, and the gradient of cross-entropy in z is simply p - y.",
        "Smooth and strictly increasing everywhere.",
        "A natural soft switch: 0 closes a gate, 1 opens it.",
    ),
    cons=(
        "The slope is at most 0.25 (at z = 0), so layers shrink the gradient unless the weights make up.",
        "It saturates on both sides: the slope is 0.0066 at z = 5 and falls like exp(-|z|).",
        "Every output is positive, so the weights of a unit that reads it are all pushed one way at once.",
        "It costs an exponential.",
    ),
    when_to_use=(
        "At the output for a yes-or-no question (one for each label when labels are independent), and as a "
        "gate that multiplies something else. In the hidden layers of a deep network take a rectifier or a "
        "smooth relative of it."
    ),
)

tanh = Activation(
    name="tanh",
    formula="tanh(z)",
    title="Hyperbolic tangent",
    summary="The sigmoid stretched to (-1, 1) and centred on zero: tanh(z) = 2 sigmoid(2 z) - 1.",
    reference=Reference(
        authors="Y. LeCun, L. Bottou, G. B. Orr, K.-R. Müller",
        title="Efficient BackProp",
        year=1998,
        venue="Neural Networks: Tricks of the Trade, Springer LNCS 1524",
    ),
    used_in=(
        "The states of recurrent networks (LSTM, GRU); bounded outputs such as images in [-1, 1] or control "
        "actions."
    ),
    pros=(
        "An odd function: inputs that are symmetric about zero give outputs whose mean is exactly zero.",
        "The slope at z = 0 is 1, four times that of the sigmoid, so small signals pass unchanged.",
        "Bounded, which keeps a recurrent state from growing without limit.",
    ),
    cons=(
        "It saturates, earlier than the sigmoid: the slope is 0.00987 at z = 3 and 0.000182 at z = 5.",
        "Gradients still fade in deep stacks: the slope is below 1 everywhere but at 0.",
    ),
    when_to_use=(
        "For the state of a recurrent cell, for an output that must lie in (-1, 1), and for shallow networks "
        "with small, centred inputs. Deep feed-forward stacks need careful initialisation or normalisation "
        "with it."
    ),
)

hard_sigmoid = Activation(
    name="hard_sigmoid",
    formula="where(z <= -3, 0, where(z >= 3, 1, (z + 3) / 6))",
    title="Hard sigmoid",
    aliases=("hardsigmoid",),
    summary=(
        "Three straight pieces that stand in for the sigmoid: 0 up to -3, 1 from 3, a line of slope 1/6 "
        "between."
    ),
    kinks=(
        Kink(
            at="-3",
            convention="the derivative at -3 is 0, the left limit (0 from the left, 1 / 6 from the right)",
        ),
        Kink(
            at="3",
            convention="the derivative at 3 is 0, the right limit (1 / 6 from the left, 0 from the right)",
        ),
    ),
    reference=Reference(
        authors=(
            "A. Howard, M. Sandler, G. Chu, L.-C. Chen, B. Chen, M. Tan, W. Wang, Y. Zhu, R. Pang, V. "
            "Vasudevan, Q. V. Le, H. Adam"
        ),
        title="Searching for MobileNetV3",
        year=2019,
        venue="ICCV 2019",
        arxiv="1905.02244",
    ),
    used_in="The squeeze-and-excitation gates of MobileNetV3; networks that are quantised for phones.",
    pros=(
        "No exponential: a comparison, an addition and a multiplication.",
        "Exact in fixed-point arithmetic, so it survives quantisation well.",
    ),
    cons=(
        "The gradient is exactly zero beyond 3 on either side, where the sigmoid still has a little.",
        "The name is not standard: other slopes are in use, such as 0.2 z + 0.5 in older versions of Keras.",
    ),
    when_to_use=(
        "As a gate on hardware where an exponential is dear or the arithmetic is integer; elsewhere take "
        "sigmoid."
    ),
)

hard_tanh = Activation(
    name="hard_tanh",
    formula="max(min(z, 1), -1)",
    title="Hard tanh",
    aliases=("hardtanh",),
    summary="The identity cut off at -1 and 1, a straight-line stand-in for tanh.",
    kinks=(
        Kink(
            at="-1",
            convention="the derivative at -1 is 0, the left limit (0 from the left, 1 from the right)",
        ),
        Kink(
            at="1", convention="the derivative at 1 is 0, the right limit (1 from the left, 0 from the right)"
        ),
    ),
    reference=Reference(
        authors="R. Collobert, J. Weston, L. Bottou, M. Karlen, K. Kavukcuoglu, P. Kuksa",
        title="Natural Language Processing (Almost) from Scratch",
        year=2011,
        venue="Journal of Machine Learning Research 12, 2493-2537",
        arxiv="1103.0398",
    ),
    used_in=(
        "Early neural language processing; the straight-through gradient of binary and quantised networks."
    ),
    pros=(
        "Costs two comparisons.",
        "Exactly linear with slope 1 inside [-1, 1], so it does not shrink gradients there.",
        "Odd and bounded.",
    ),
    cons=(
        "The gradient is exactly zero outside [-1, 1]: a unit that is always outside is dead.",
        "Less smooth than tanh, with two corners.",
    ),
    when_to_use=(
        "Where a value must be clipped and the arithmetic must be cheap; elsewhere tanh trains more gently."
    ),
)

softsign = Activation(
    name="softsign",
    formula="z / (1 + abs(z))",
    title="Softsign",
    aliases=("soft_sign", "elliott"),
    summary=(
        "A squashing function onto (-1, 1) without exponentials, whose tails fade like 1/z instead of exp(-2 "
        "z)."
    ),
    # The quotient rule gives a difference that cancels in the tails; the two terms combine into one square.
    stable={1: "(1 / (1 + abs(z)))**2"},
    kinks=(
        Kink(
            at="0",
            order=2,
            convention=(
                "the second derivative at 0 is 0, the mean of the limits (2 from the left, -2 from the right)"
            ),
        ),
    ),
    reference=Reference(
        authors="D. L. Elliott",
        title="A Better Activation Function for Artificial Neural Networks",
        year=1993,
        venue="University of Maryland, Institute for Systems Research, technical report",
    ),
    used_in=(
        "Rare today; compared with tanh and sigmoid in Glorot and Bengio's study of initialisation (2010)."
    ),
    pros=(
        "Saturates gently: the slope, 1 / (1 + |z|)^2, is 0.0278 at z = 5, some 150 times that of tanh.",
        "Needs no exponential; odd and bounded.",
    ),
    cons=(
        "The slope falls quickly near zero: it is already 0.25 at z = 1.",
        "The second derivative jumps at 0.",
    ),
    when_to_use=(
        "In place of tanh when units are found saturated and a bounded, odd function is still wanted."
    ),
)

log_sigmoid = Activation(
    name="log_sigmoid",
    formula="-softplus(-z)",
    title="Log-sigmoid",
    aliases=("logsigmoid",),
    summary="The logarithm of the sigmoid, computed so that neither tail overflows or cancels.",
    reference=Reference(
        authors="T. Mikolov, I. Sutskever, K. Chen, G. Corrado, J. Dean",
        title="Distributed Representations of Words and Phrases and their Compositionality",
        year=2013,
        venue="NeurIPS 2013 (a well-known use; no paper introduces the function)",
        arxiv="1310.4546",
    ),
    used_in=(
        "Losses: binary cross-entropy from logits, negative sampling in word2vec, pairwise preference losses."
    ),
    pros=(
        "Gives log-probabilities without first rounding a probability to 0 or 1.",
        "The gradient, sigmoid(-z), does not vanish where the prediction is badly wrong.",
    ),
    cons=(
        "Every output is negative and unbounded below, so it is no use as a hidden activation.",
        "It costs an exponential and a logarithm.",
    ),
    when_to_use=(
        "Inside a loss, wherever log(sigmoid(z)) would be written; never as the activation of a hidden layer."
    ),
)
