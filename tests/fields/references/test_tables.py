"""Readers take files apart exactly, and refuse bad ones in one line."""

import numpy as np
import pytest
from scipy.io import savemat

from fields.references import PUBLISHED, find_file, published, read_arrays, read_table
from overparam.errors import InputError

HEADER = """% Model:              x.mph
% Dimension:          1
% Nodes:              2
% Description:        \u56e0\u53d8\u91cf u
% X                       u (1) @ t=0              u (1) @ t=0.5            v (m/s) @ Re=100
"""


def test_comsol_tables(tmp_path):
    file = tmp_path / "t.dat"
    file.write_text(HEADER + "-1  0 1e-3 4\n1   2 3  -5.5E-6\n\n", encoding="utf-8")
    table = read_table(file)
    assert table.dimension == 1 and table.points.tolist() == [[-1], [1]]
    assert table.numbers.tolist() == [[-1, 0, 1e-3, 4], [1, 2, 3, -5.5e-6]]
    assert [c.name for c in table.columns] == ["X", "u", "u", "v"]
    assert [c.parameter for c in table.columns] == ["", "t", "t", "Re"]
    assert [c.value for c in table.columns[1:]] == [0, 0.5, 100]


def test_tables_without_a_header(tmp_path):
    file = tmp_path / "t.dat"
    file.write_text("1 2 3\n4 5 6\n")
    table = read_table(file)
    assert table.numbers.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert table.dimension == 0 and all(c.name == "" for c in table.columns)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "rows of numbers"),
        (HEADER, "rows of numbers"),
        ("1 2\n3\n", "line 2 must have 2 columns"),
        ("1 2\n3 x\n", "line 2 must hold numbers"),
        (HEADER + "1 2 3\n", "4 columns of its header"),
        ("% X  u\n1 2\n", "Dimension"),
    ],
)
def test_bad_tables(tmp_path, text, word):
    file = tmp_path / "bad.dat"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=word) as caught:
        read_table(file)
    assert "bad.dat" in str(caught.value) and "\n" not in str(caught.value)


def test_bytes_are_no_table(tmp_path):
    (tmp_path / "bytes.dat").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="text"):
        read_table(tmp_path / "bytes.dat")


def test_arrays_of_both_kinds(tmp_path):
    x = np.arange(6.0).reshape(2, 3)
    np.savez(tmp_path / "a.npz", x=x)
    savemat(tmp_path / "a.mat", {"x": x})
    for name in ("a.npz", "a.mat"):
        assert np.array_equal(read_arrays(tmp_path / name, "x")["x"], x)
        with pytest.raises(InputError, match=rf"{name} must hold the arrays x, y, got x"):
            read_arrays(tmp_path / name, "x", "y")
    for name in ("bad.npz", "bad.mat"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            read_arrays(tmp_path / name)
    with pytest.raises(InputError, match="existing file"):
        read_arrays(tmp_path / "none.npz")


def test_pickles_are_not_opened(tmp_path):
    np.savez(tmp_path / "p.npz", x=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(tmp_path / "p.npz")


def test_files_are_found_flat_and_nested(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep.dat").write_text("1")
    (tmp_path / "flat.dat").write_text("1")
    assert find_file("deep.dat", tmp_path) == tmp_path / "a" / "b" / "deep.dat"
    assert find_file("flat.dat", tmp_path) == tmp_path / "flat.dat"
    with pytest.raises(InputError, match="must hold the file none"):
        find_file("none.dat", tmp_path)
    with pytest.raises(InputError, match="existing folder"):
        find_file("flat.dat", tmp_path / "nowhere")


def test_published_files_are_checked(tmp_path):
    with pytest.raises(InputError, match="must be one of burgers"):
        published("navier", tmp_path)
    np.savez(tmp_path / "deepxde_Burgers.npz", x=np.arange(3), t=np.arange(4), usol=np.ones((3, 3)))
    with pytest.raises(InputError, match="3 x 4 points"):
        published("burgers", tmp_path)
    np.savez(
        tmp_path / "deepxde_Burgers.npz", x=np.arange(3), t=-np.arange(4), usol=np.ones((3, 4))
    )
    with pytest.raises(InputError, match="increasing"):
        published("burgers", tmp_path)
    (tmp_path / "pinnacle_lid_driven_a4.dat").write_text("% Dimension: 2\n% x  y  u\n1 2 3\n")
    with pytest.raises(InputError, match="must give u, v, p"):
        published("cavity", tmp_path)
    np.savez(tmp_path / "deepxde_Poisson_Lshape.npz", X_test=np.ones((3, 2)), y_ref=np.ones(3))
    with pytest.raises(InputError, match="points"):
        published("lshape", tmp_path)
    assert len(PUBLISHED) == 8
