"""New initial weights, drawn from a generator of their own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History
from triode.doctor.remedies._words import listed, names_of
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.doctor.remedies._program import Program
    from triode.doctor.treatment import Training

TITLE = "Initialise the weights anew"
ORDER = 50
GAINS = {"he": math.sqrt(2.0), "lecun": 1.0}
NAMES = {"he": "He's", "lecun": "LeCun's", "critical": "critical"}
FORMULAS = {"he": "√(2/n)", "lecun": "√(1/n)", "critical": "σ_w/√n of the activation that follows"}


def _scheme(prescription: Prescription) -> str:
    scheme = str(prescription.parameters.get("scheme", "he"))
    if scheme not in NAMES:
        raise TriodeError(f"initialise: scheme is {scheme!r}; expected one of {', '.join(NAMES)}.")
    return scheme


def words(history: History | None, prescription: Prescription) -> str:
    """What to change."""
    scheme, layers = _scheme(prescription), names_of(prescription, "layers")
    where = f" of {listed(layers)}" if layers else ""
    return (
        f"Draw the initial weights{where} with {NAMES[scheme]} standard deviation, {FORMULAS[scheme]} for n inputs, "
        f"and set biases to 0."
        if scheme != "critical"
        else f"Draw the initial weights{where} at the critical point: standard deviation {FORMULAS[scheme]}, n inputs."
    )


def scales(scheme: str, function: str) -> tuple[float, float]:
    """(σ_w, σ_b) of a scheme for a layer that `function` follows; "" for none.

    >>> scales("critical", "tanh"), scales("he", "relu")[1]
    ((1.0, 0.0), 0.0)
    """
    if scheme != "critical":
        return GAINS[scheme], 0.0
    if not function:
        return 1.0, 0.0
    from triode.analysis import critical_init

    try:
        return critical_init(function)
    except TriodeError:  # a function without a critical point
        return 1.0, 0.0


def apply(training: Training, prescription: Prescription, history: History | None) -> None:
    """Draw weights of linear and convolution layers; normalisations and embeddings keep theirs."""
    import torch
    from torch import nn

    from triode.doctor.remedies._surgery import bare, draw, fan_in, modules

    scheme, wanted = _scheme(prescription), names_of(prescription, "layers")
    model = bare(training.model)
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    embedded = {
        id(m.weight) for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))
    }  # a tied output layer shares them
    layers = {path: m for path, m in modules(model).items() if isinstance(m, kinds)}
    unknown = [name for name in wanted if name not in layers and name not in modules(model)]
    if unknown:
        raise TriodeError(
            f"the model has no layer {unknown[0]!r}; its layers are {', '.join(layers) or 'none'}."
        )
    following = {layer.name: layer.activation for layer in history.layers} if history else {}
    generator = torch.Generator().manual_seed(int(prescription.parameters.get("seed", 0)))
    done: set[int] = set()
    for path, layer in layers.items():
        weight = layer._parameters.get("weight")
        if (wanted and path not in wanted) or weight is None or id(weight) in embedded | done:
            continue
        if isinstance(weight, nn.parameter.UninitializedParameter):
            raise TriodeError(
                f"{path} is lazy and has no weights yet; call the model once before treating it."
            )
        done.add(id(weight))
        sigma_w, sigma_b = scales(scheme, following.get(path, "") if history else _next(model, path))
        draw(weight, sigma_w / math.sqrt(fan_in(layer, weight)), generator)
        changed: list[torch.Tensor] = [weight]
        if layer.bias is not None:
            draw(layer.bias, sigma_b, generator)
            changed.append(layer.bias)
        if training.optimizer is not None:  # moments of the old weights
            for parameter in changed:
                training.optimizer.state.pop(parameter, None)


def _next(model: object, path: str) -> str:
    """The activation registered after a layer, where no history says what follows it."""
    from triode.doctor.observe.operations import _ACTIVATIONS
    from triode.doctor.remedies._surgery import is_activation, modules

    known = modules(model)  # type: ignore[arg-type]
    after = list(known)[list(known).index(path) + 1 :]
    for each in after:
        if is_activation(known[each]):
            own = getattr(getattr(known[each], "activation", None), "name", "")
            return str(own or _ACTIVATIONS.get(type(known[each]).__name__.lower(), ""))
        weight = getattr(known[each], "weight", None)
        if weight is not None and weight.dim() > 1:
            return ""
    return ""


def edit(program: Program, prescription: Prescription, history: History) -> None:
    """Lines after the place where the model is made."""
    source, statement, name = program.model_made()
    lines = _lines(source.module("torch"), name, history, prescription)
    source.insert_after(statement, *lines)


def _lines(torch: str, model: str, history: History | None, prescription: Prescription) -> list[str]:
    scheme, layers = _scheme(prescription), names_of(prescription, "layers")
    init = f"{torch}.nn.init"
    if scheme == "critical":
        function = (
            next((layer.activation for layer in history.layers if layer.activation), "relu")
            if history
            else "relu"
        )
        sigma_w, sigma_b = scales(scheme, function)
        draw = f"{init}.normal_(layer.weight, std={sigma_w:.4g} / layer.weight[0].numel() ** 0.5)"
        bias = f"{init}.normal_(layer.bias, std={sigma_b:.4g})" if sigma_b else f"{init}.zeros_(layer.bias)"
    else:
        kind = "relu" if scheme == "he" else "linear"
        draw = f"{init}.kaiming_normal_(layer.weight, nonlinearity={kind!r})"
        bias = f"{init}.zeros_(layer.bias)"
    head = (
        f"for layer in map({model}.get_submodule, {list(layers)!r}):"
        if layers
        else f"for layer in {model}.modules():"
    )
    inner = [draw, "if layer.bias is not None:", f"    {bias}"]
    if layers:
        return [head, *(f"    {line}" for line in inner)]
    kinds = ", ".join(f"{torch}.nn.{kind}" for kind in ("Linear", "Conv1d", "Conv2d", "Conv3d"))
    return [head, f"    if isinstance(layer, ({kinds})):", *(f"        {line}" for line in inner)]


def snippet(history: History | None, prescription: Prescription) -> str:
    """The loop that draws them."""
    return "\n".join(_lines("torch", "model", history, prescription))
