"""Published solutions as references, from files of the user's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.interpolate import CloughTocher2DInterpolator

from fields.references.reference import GridSpline, Reference
from fields.references.tables import find_file, read_arrays, read_table
from overparam.errors import InputError

DEEPXDE = "github.com/lululxvi/deepxde, examples/dataset"
PINNACLE = "github.com/i207M/PINNacle, ref (COMSOL)"


def published(name: str, root: str | Path) -> Reference:
    """Read one of the published solutions.

    Values between scattered points are cubic on triangles, also across holes of the domain; the
    files state no error, so ``error_estimate`` is None.

    Args:
        name: One of ``PUBLISHED``.
        root: Folder in or below which the file lies.

    Raises:
        InputError: If the name is unknown, or the file is missing or not as it should be.
    """
    if name not in PUBLISHED:
        raise InputError(f"published solution must be one of {', '.join(PUBLISHED)}, got {name}")
    file, read = PUBLISHED[name]
    return read(find_file(file, root))


def _burgers(path: Path) -> Reference:
    arrays = read_arrays(path, "x", "t", "usol")
    return _grid(
        path, "Burgers, nu = 0.01/pi", DEEPXDE, "xt", arrays["x"], arrays["t"], [arrays["usol"]]
    )


def _allen_cahn(path: Path) -> Reference:
    arrays = read_arrays(path, "x", "t", "u")
    # an independent solution agrees for D = 0.001, not for 0.0001
    return _grid(
        path, "Allen-Cahn, D = 0.001", DEEPXDE, "xt", arrays["x"], arrays["t"], [arrays["u"].T]
    )


def _reaction(path: Path) -> Reference:
    arrays = read_arrays(path, "x", "t", "Ca", "Cb")
    both = [arrays["Ca"].T, arrays["Cb"].T]
    name = "diffusion and reaction, D = 0.002, k = 0.1"
    return _grid(path, name, DEEPXDE, "xt", arrays["x"], arrays["t"], both)


def _lshape(path: Path) -> Reference:
    arrays = read_arrays(path, "X_test", "y_ref")
    points, values = arrays["X_test"], arrays["y_ref"]
    if points.ndim != 2 or points.shape[1] != 2 or values.shape != (len(points), 1):
        raise InputError(
            f"{path} must hold points (n, 2) and values (n, 1), "
            f"got {points.shape} and {values.shape}"
        )
    known = np.isfinite(values[:, 0])  # outside of the domain the file has NaN
    # its values satisfy this equation to 1e-10, and not Poisson's
    name = "-Laplace u + u = 1 on the L-shape"
    return _scattered(name, DEEPXDE, "xy", ["u"], points[known], values[known])


def _burgers_comsol(path: Path) -> Reference:
    table = read_table(path)
    order = np.argsort(table.points[:, 0])
    x, rows = table.points[order, 0], table.numbers[order, 1:]
    t = np.array([column.value for column in table.columns[1:]])
    return _grid(path, "Burgers, nu = 0.01/pi", PINNACLE, "xt", x, t, [rows])


def _comsol(name: str, components: list[str]) -> Callable[[Path], Reference]:
    def read(path: Path) -> Reference:
        table = read_table(path)
        names = [column.name for column in table.columns[table.dimension :]]
        if table.dimension != 2 or names != components:
            raise InputError(
                f"{path} must give {', '.join(components)} of two coordinates, "
                f"got {', '.join(names)} of {table.dimension}"
            )
        return _scattered(
            name, PINNACLE, "xy", components, table.points, table.numbers[:, table.dimension :]
        )

    return read


PUBLISHED: dict[str, tuple[str, Callable[[Path], Reference]]] = {
    "burgers": ("deepxde_Burgers.npz", _burgers),
    "allen_cahn": ("deepxde_Allen_Cahn.mat", _allen_cahn),
    "reaction": ("deepxde_reaction.npz", _reaction),
    "lshape": ("deepxde_Poisson_Lshape.npz", _lshape),
    "burgers_comsol": ("pinnacle_burgers1d.dat", _burgers_comsol),
    "poisson_circles": (
        "pinnacle_poisson1_cg_data.dat",
        _comsol("Poisson2d-C", ["u"]),
    ),
    "poisson_boltzmann": (
        "pinnacle_poisson_boltzmann2d.dat",
        _comsol("Poisson2d-CG", ["u"]),
    ),
    "cavity": (
        "pinnacle_lid_driven_a4.dat",
        _comsol("lid-driven cavity, Re = 100, lid 4 x (1 - x)", ["u", "v", "p"]),
    ),
}
"""Name -> base name of the file, and its reader."""


def _grid(
    path: Path,
    name: str,
    source: str,
    coordinates: str,
    first: np.ndarray,
    second: np.ndarray,
    components: list[np.ndarray],
) -> Reference:
    """Values on a grid, each component ``(first, second)``."""
    axes = (np.ravel(first).astype(float), np.ravel(second).astype(float))
    values = np.stack(components, axis=-1).astype(float)
    if values.shape[:2] != (len(axes[0]), len(axes[1])) or not np.isfinite(values).all():
        raise InputError(
            f"{path} must hold finite values for its {len(axes[0])} x {len(axes[1])} points, "
            f"got shape {values.shape[:2]}"
        )
    if not all((np.diff(axis) > 0).all() for axis in axes):
        raise InputError(f"{path} must have increasing coordinates")
    names = ("u",) if len(components) == 1 else ("a", "b")
    return Reference.on_grid(
        name, source, tuple(coordinates), names, axes, values, evaluate=GridSpline(axes, values)
    )


def _scattered(
    name: str,
    source: str,
    coordinates: str,
    components: list[str],
    points: np.ndarray,
    values: np.ndarray,
) -> Reference:
    unique, rows = np.unique(points, axis=0, return_index=True)
    interpolator: list[CloughTocher2DInterpolator] = []

    def evaluate(x: np.ndarray) -> np.ndarray:
        if not interpolator:  # fitting the gradients takes a second: only when asked for
            interpolator.append(CloughTocher2DInterpolator(unique, values[rows]))
        return interpolator[0](x)

    return Reference(name, source, tuple(coordinates), tuple(components), points, values, evaluate)
