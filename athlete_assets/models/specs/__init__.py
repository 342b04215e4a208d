"""Every model of the product: each file of this folder defines one as SPEC.

Its asset, its gate, its name on the command line, its training in the weekly job, and its columns of
gold.athlete_predictions follow from that.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from athlete_assets.errors import ContractError
from athlete_assets.models.model_spec import ModelSpec


def _found() -> dict[str, ModelSpec]:
    specs: dict[str, ModelSpec] = {}
    outputs: dict[str, str] = {}
    for module in iter_modules(__path__):
        spec = getattr(import_module(f"{__name__}.{module.name}"), "SPEC", None)
        if not isinstance(spec, ModelSpec) or spec.name != module.name:
            raise ContractError(f"models/specs/{module.name}.py defines no SPEC of the name {module.name}")
        for output in spec.outputs if spec.in_gold else ():
            if output in outputs:
                raise ContractError(f"output {output} is given by two models, {outputs[output]} and {spec.name}")
            outputs[output] = spec.name
        specs[spec.name] = spec
    return specs


MODELS = _found()
"""By name."""
