"""The normalising family: softmax and its logarithm, along an axis."""

from __future__ import annotations

from triode.activation import Reference
from triode.normalising import Normalising

_BRIDLE = Reference(
    authors="J. S. Bridle",
    title="Probabilistic Interpretation of Feedforward Classification Network Outputs, with Relationships to "
    "Statistical Pattern Recognition",
    year=1990,
    venue="Neurocomputing, NATO ASI Series 68",
)

softmax = Normalising(
    name="softmax",
    formula="exp(z_i / T) / sum_j exp(z_j / T)",
    logarithm=False,
    title="Softmax",
    aliases=("softargmax",),
    summary="Turns a vector of scores into a probability distribution; raising one entry lowers the others.",
    reference=_BRIDLE,
    used_in="Output layers of classifiers with exclusive classes; attention weights in Transformers.",
    pros=(
        "Positive, sums to one, and unchanged when a constant is added to every score.",
        "With cross-entropy the gradient by the scores is simply prediction minus target.",
        "For two classes it equals sigmoid(z1 - z2).",
    ),
    cons=(
        "Not for labels that can hold together: the classes compete.",
        "In a hidden layer it throws away scale and couples all units.",
        "Its probabilities are often over-confident; calibrate them before they are trusted.",
    ),
    when_to_use=(
        "Last layer of a classifier with exactly one right class, and attention. In training hand the raw scores "
        "to a cross-entropy loss, which applies the logarithm itself; applying softmax before it is a mistake."
    ),
)

log_softmax = Normalising(
    name="log_softmax",
    formula="z_i / T - log(sum_j exp(z_j / T))",
    logarithm=True,
    title="Log-softmax",
    aliases=("logsoftmax",),
    summary="The logarithm of softmax, computed without forming the probabilities.",
    reference=_BRIDLE,
    used_in="Inside cross-entropy and negative log-likelihood losses; log-probabilities in language models.",
    pros=(
        "Finite where softmax underflows to zero: log-probabilities of any size keep their relative accuracy.",
        "Accurate near zero too, where one class has nearly all the mass.",
    ),
    cons=("Not a probability: exponentiate before showing it to a person.",),
    when_to_use="Whenever the next step is a logarithm: losses, sums of log-probabilities, beam search.",
)
