"""Networks that are functions of space: fits of signals, their derivatives, their rendering."""

import importlib
import sys
from types import ModuleType
from typing import Any

# Public name -> module that holds it; imported on first use, so that `import fields` stays light.
_PUBLIC = {
    "Activation": "activation",
    "AudioSamples": "audio",
    "CompiledJet": "compiled_jet",
    "CompositeSamples": "supervision",
    "DerivativeFit": "derivative_fit",
    "DerivativeSamples": "supervision",
    "EikonalLoss": "shape_fit",
    "Encoding": "encoding",
    "FieldLayer": "mlp",
    "Finer": "activation",
    "Gauss": "activation",
    "GaussianFourier": "encoding",
    "HashGrid": "encoding",
    "HessianPrior": "prior",
    "Identity": "encoding",
    "ImagePictures": "pictures",
    "ImageSamples": "image",
    "InpaintFit": "inpaint_fit",
    "InpaintSamples": "inpaint",
    "MLPField": "mlp",
    "Positional": "encoding",
    "Prior": "prior",
    "Relu": "activation",
    "ShapeFit": "shape_fit",
    "ShapePictures": "shape_pictures",
    "ShapeSamples": "shape",
    "SignalFit": "fit",
    "SignalPictures": "pictures",
    "SignalSamples": "samples",
    "Sine": "activation",
    "SineLayer": "sine",
    "Siren": "sine",
    "Softplus": "activation",
    "Tanh": "activation",
    "TotalVariation": "prior",
    "VideoSamples": "video",
    "Wire": "activation",
    "chunked_mean": "chunk",
    "divergence": "calculus",
    "gradient": "calculus",
    "hessian": "calculus",
    "jacobian": "calculus",
    "jet": "jet",
    "laplacian": "calculus",
    "layer_statistics": "layer_statistics",
}

__all__ = sorted(_PUBLIC)


class _LazyPackage(ModuleType):
    """A package whose public names win over its files of the same name.

    Importing ``fields/jet.py`` would otherwise put that file where users look for the function
    ``fields.jet``.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fields' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"fields.{_PUBLIC[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


sys.modules[__name__].__class__ = _LazyPackage
