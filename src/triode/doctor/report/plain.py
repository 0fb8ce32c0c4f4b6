"""The diagnosis as plain data for JSON: the keys below are stable, numbers that are not finite are null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from triode.doctor.diagnosis import Diagnosis
from triode.doctor.history import History, Layer, Site, UnitFigures
from triode.doctor.report import story
from triode.doctor.report.column import rows
from triode.doctor.report.series import predicted, thin

FORMAT = 1
"""Raised when a key changes its meaning or goes; new keys may come at any time."""
KEPT = 2000
"""Steps of the loss curve that are kept."""


def plain(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as data that `json.dumps(..., allow_nan=False)` takes.

    Keys:
        format: 1. triode: the version that wrote it. healthy: true or false. verdict: one line.
        findings: each with diagnosis, title, model, layer, severity, confidence, summary, hurts, evidence, places,
            follows (the diagnosis that it follows from, or ""), prescriptions (each with kind, parameters, title,
            words, code, why), the cause first.
        notes: each with diagnosis, text, places, model. checked: names of rules. unchecked: name -> why not.
        proofs: each with prescriptions (kind and parameters of what was tried together), already (of what had helped
            before and stayed), helped, sentence, measure (loss or skill), before and after (one number a step), left
            (diagnoses found after).
        models: each with name, framework, parameters, trained, steps, optimizer, rate, loss (name, family), exception,
            nonfinite (or null), seconds, watching_seconds, limits, losses ({step, loss}), column (the network from
            input to loss: kind, name, what, functions, number, health, findings, notes, dead, saturated, gradient,
            update, trained, where), layers and sites (what was measured at each).

    Shares lie between 0 and 1; gradients are root mean squares per weight (`gradient`) and Euclidean norms (`norm`).

    Args:
        diagnosis: What the doctor found.

    Returns:
        Dictionaries, lists, strings, numbers, booleans and None.

    Examples:
        >>> plain(Diagnosis(checked=("dead_relu",)))["verdict"]
        'healthy: 1 rule checked, nothing to act on'
    """
    import triode

    told = [one for cause in story.causes(diagnosis) for one in cause.tree]
    data = {
        "format": FORMAT,
        "triode": triode.__version__,
        "healthy": diagnosis.healthy,
        "verdict": story.verdict(diagnosis),
        "findings": [_finding(one) for one in told],
        "notes": [asdict(note) for note in diagnosis.notes],
        "checked": list(diagnosis.checked),
        "unchecked": dict(diagnosis.unchecked),
        "proofs": [
            {
                "prescriptions": [
                    {"kind": one.prescription.kind, "parameters": one.prescription.parameters}
                    for one in trial.advices
                ],
                "already": [
                    {"kind": one.prescription.kind, "parameters": one.prescription.parameters}
                    for one in trial.already
                ],
                "helped": trial.helped,
                "sentence": trial.sentence,
                "measure": trial.measure,
                "before": trial.before,
                "after": trial.after,
                "left": trial.left,
            }
            for trial in story.trials(diagnosis)
        ],
        "models": [_model(diagnosis, history) for history in diagnosis.histories],
    }
    return {key: _clean(value) for key, value in data.items()}


def _clean(value: Any) -> Any:
    """The same of JSON's own types."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _clean(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return _clean(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [
            _clean(one) for one in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)
        ]
    if isinstance(value, np.generic):
        return _clean(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def _finding(told: story.Told) -> dict[str, Any]:
    one = told.finding
    return {
        "diagnosis": one.diagnosis,
        "title": told.title,
        "model": one.model,
        "layer": one.layer,
        "severity": one.severity,
        "confidence": one.confidence,
        "summary": one.summary,
        "hurts": told.hurts,
        "evidence": one.evidence,
        "places": one.places,
        "follows": one.follows,
        "prescriptions": [
            {
                "kind": advice.prescription.kind,
                "parameters": advice.prescription.parameters,
                "title": advice.title,
                "words": advice.words,
                "code": advice.code,
                "why": advice.why,
            }
            for advice in told.prescriptions
        ],
    }


def _model(diagnosis: Diagnosis, history: History) -> dict[str, Any]:
    curve = thin([(float(i), loss) for i, loss in enumerate(history.losses)], KEPT)
    column = rows(diagnosis, history)
    place = {row.name: row.number for row in column}
    stack = sorted(
        (x for x in history.weight_layers() if math.isfinite(x.signal)), key=lambda x: place.get(x.name, 0)
    )
    theory = predicted(history, stack) if len(stack) > 1 else []
    expected = {layer.name: q for layer, q in zip(stack, theory, strict=False)}
    return {
        "name": history.name,
        "framework": history.framework,
        "parameters": history.parameters,
        "trained": history.trained,
        "steps": history.steps,
        "optimizer": history.optimizer,
        "rate": history.rates[0] if history.rates else None,
        "loss": {"name": history.loss.name, "family": history.loss.family},
        "exception": history.exception,
        "nonfinite": asdict(history.nonfinite) if history.nonfinite else None,
        "seconds": history.seconds,
        "watching_seconds": history.own_seconds,
        "limits": history.limits,
        "losses": {"step": [int(x) for x, _ in curve], "loss": [y for _, y in curve]},
        "column": [asdict(row) for row in column],
        "layers": [_layer(layer, expected.get(layer.name)) for layer in history.layers],
        "sites": [_site(site) for site in history.sites],
    }


def _layer(layer: Layer, expected: float | None) -> dict[str, Any]:
    rms = layer.gradient_rms
    finite = rms[np.isfinite(rms)]
    updates = [one for one in layer.update if math.isfinite(one)]
    return {
        "name": layer.name,
        "kind": layer.kind,
        "depth": layer.depth,
        "fan_in": layer.fan_in,
        "units": layer.units,
        "weights": layer.weights,
        "trained": layer.trained,
        "activation": layer.activation,
        "initial_std": layer.initial_std,
        "signal": layer.signal,
        "signal_predicted": expected,
        "gradient": {
            "first": rms[0] if len(rms) else None,
            "median": np.median(finite) if len(finite) else None,
            "last": rms[-1] if len(rms) else None,
        },
        "norm": {
            "first": layer.gradient[0] if layer.gradient else None,
            "last": layer.gradient[-1] if layer.gradient else None,
        },
        "update": np.median(updates) if updates else None,
    }


def _site(site: Site) -> dict[str, Any]:
    return {
        "name": site.name,
        "function": site.function,
        "role": site.role,
        "layer": site.layer,
        "where": site.where,
        "units": site.units,
        "dead": [one.dead_share for one in site.passes],
        "initial": _figures(site.initial),
        "last": _figures(site.last),
    }


def _figures(figures: UnitFigures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    return {
        "examples": figures.examples,
        "exact": figures.exact,
        "dead": figures.dead_share,
        "flat": figures.flat_share,
        "sparsity": figures.sparsity,
        "saturated": figures.saturated,
        "mean": figures.mean,
        "spread": figures.spread,
        "input_mean": figures.input_mean,
        "input_spread": figures.input_spread,
        "input_largest": figures.input_largest,
    }
