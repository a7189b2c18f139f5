"""The package serves every public name, and costs nothing until one is asked for."""

import subprocess
import sys

import pytest

import fields


@pytest.mark.parametrize("name", fields.__all__)
def test_every_public_name_exists_and_is_documented(name):
    assert getattr(fields, name).__doc__
    assert name in dir(fields)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nonsense"):
        fields.nonsense  # noqa: B018


def test_fields_come_without_lightning_and_the_package_without_torch():
    code = (
        "import sys, fields; assert 'torch' not in sys.modules; fields.Siren; fields.chunked_mean;"
        "assert 'pytorch_lightning' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
