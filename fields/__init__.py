"""Networks that are functions of space: fits of signals, their derivatives, their rendering."""

import importlib
from typing import Any

# Public name -> module that holds it; imported on first use, so that `import fields` stays light.
_PUBLIC = {
    "Activation": "activation",
    "Encoding": "encoding",
    "FieldLayer": "mlp",
    "Finer": "activation",
    "Gauss": "activation",
    "GaussianFourier": "encoding",
    "HashGrid": "encoding",
    "Identity": "encoding",
    "ImagePictures": "pictures",
    "ImageSamples": "image",
    "MLPField": "mlp",
    "Positional": "encoding",
    "Relu": "activation",
    "SignalFit": "fit",
    "SignalSamples": "samples",
    "Sine": "activation",
    "SineLayer": "sine",
    "Siren": "sine",
    "Softplus": "activation",
    "Tanh": "activation",
    "Wire": "activation",
    "chunked_mean": "chunk",
    "gradient": "calculus",
    "laplacian": "calculus",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fields' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"fields.{_PUBLIC[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
