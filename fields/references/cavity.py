"""The lid-driven cavity: steady incompressible flow in the unit square."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import splu

from fields.references.reference import GridSpline, Reference, grid_points

Lid = Callable[[np.ndarray], np.ndarray]


def parabolic_lid(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return ``4 x (1 - x)``: speed 1 in the middle of the lid, 0 at its ends."""
    return 4 * x * (1 - x)


class Cavity:
    """The discrete problem on staggered velocities, ``n`` cells along each axis.

    The unknowns are stream-function values at the inner nodes: their differences are velocities
    without discrete divergence, and the pressure drops out of the discrete curl of the momentum
    equation. Differences are central; the error falls with the square of the cell.

    Args:
        n: Cells along each axis, at least 8.
        reynolds: Reynolds number for the side and the lid's unit speed, positive.
        lid: Speed of the lid along x.

    Raises:
        ValueError: If ``n`` or ``reynolds`` is out of range.

    Source: F. H. Harlow, J. E. Welch, Phys. Fluids 8 (1965) 2182, for the grid.
    """

    def __init__(self, n: int, reynolds: float | int = 100.0, lid: Lid = parabolic_lid) -> None:
        if n < 8 or not reynolds > 0:
            raise ValueError(f"n must be at least 8 and reynolds positive, got {n} and {reynolds}")
        self.n, self.spacing, self.nu = n, 1 / n, 1 / reynolds
        self.nodes, self.cells = np.linspace(0, 1, n + 1), (np.arange(n) + 0.5) / n
        self.lid = lid(self.nodes)
        h = self.spacing
        ones = np.ones(n - 1)
        shape = (n - 1, n)
        mean = sparse.diags_array([ones / 2, ones / 2], offsets=[0, 1], shape=shape)
        slope = sparse.diags_array([-ones / h, ones / h], offsets=[0, 1], shape=shape)
        cell, node = sparse.eye_array(n), sparse.eye_array(n - 1)
        # one axis: wall to wall through nodes, or through cells half a cell from the walls
        on_nodes, on_cells = -slope @ slope.T, -slope.T @ slope
        wall = np.zeros(n)
        wall[[0, -1]] = 2 / h**2
        on_cells = on_cells - sparse.diags_array(wall)
        kron = sparse.kron
        self._curl = [kron(node, -slope.T), kron(slope.T, node)]  # u = psi_y, v = -psi_x
        self._laplace = [
            kron(on_nodes, cell) + kron(node, on_cells),
            kron(on_cells, node) + kron(cell, on_nodes),
        ]
        # averages to cells (squares) and to corners (products), and the fluxes' differences
        self._squares = [kron(mean.T, cell), kron(cell, mean.T)]
        self._corners = [kron(node, mean), kron(mean, node)]
        self._along = [kron(slope, cell), kron(cell, slope)]
        self._across = [kron(node, -slope.T), kron(-slope.T, node)]
        self._drive = np.zeros((n - 1, n))
        self._drive[:, -1] = 2 * self.nu / h**2 * self.lid[1:-1]
        self.stream = np.zeros((n - 1) ** 2)

    @property
    def velocity(self) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """U on vertical faces ``(n - 1, n)`` and v on horizontal faces ``(n, n - 1)``, flat."""
        return self._curl[0] @ self.stream, self._curl[1] @ self.stream

    def momentum(self) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Return what the negative pressure gradient must equal, on the faces of u and of v."""
        both = self.velocity
        product = (self._corners[0] @ both[0]) * (self._corners[1] @ both[1])
        terms = [
            self._along[i] @ (self._squares[i] @ both[i]) ** 2
            + self._across[i] @ product
            - self.nu * (self._laplace[i] @ both[i])
            for i in range(2)
        ]
        return terms[0] - self._drive.ravel(), terms[1]

    def solve(self, tolerance: float | int = 1e-11, steps: int = 20) -> "Cavity":
        """Run Newton's iteration from ``stream`` on, and return the cavity itself.

        Raises:
            FloatingPointError: If it does not converge.
        """
        for _ in range(steps):
            residual = sum(self._curl[i].T @ term for i, term in enumerate(self.momentum()))
            update = splu(self._jacobian().tocsc()).solve(-residual)
            self.stream = self.stream + update
            if np.abs(update).max() < tolerance * np.abs(self.stream).max():
                return self
        raise FloatingPointError(f"Newton's iteration did not converge at nu = {self.nu:g}")

    def _jacobian(self) -> sparse.sparray:
        both = self.velocity
        at_corner = [self._corners[i] @ both[i] for i in range(2)]
        total = 0
        for i in range(2):
            j = 1 - i
            twice = sparse.diags_array(2 * (self._squares[i] @ both[i]))
            own = self._along[i] @ twice @ self._squares[i] - self.nu * self._laplace[i]
            own = own + self._across[i] @ sparse.diags_array(at_corner[j]) @ self._corners[i]
            other = self._across[i] @ sparse.diags_array(at_corner[i]) @ self._corners[j]
            total = total + self._curl[i].T @ (own @ self._curl[i] + other @ self._curl[j])
        return total

    def pressure(self) -> Float[np.ndarray, "n n"]:
        """Return the pressure in the cells, of mean zero."""
        n = self.n
        force = self.momentum()
        right = -sum(self._along[i].T @ force[i] for i in range(2))
        poisson = (sum(part.T @ part for part in self._along)).tolil()
        poisson[0, 0] *= 2  # fixes the free constant: the right side adds up to zero
        p = splu(poisson.tocsc()).solve(right)
        return (p - p.mean()).reshape(n, n)

    def splines(self) -> list[GridSpline]:
        """Return u, v and p as functions on the closed square."""
        n = self.n
        u, v = self.velocity
        u_full, v_full = np.zeros((n + 1, n + 2)), np.zeros((n + 2, n + 1))
        u_full[1:-1, 1:-1], v_full[1:-1, 1:-1] = u.reshape(n - 1, n), v.reshape(n, n - 1)
        u_full[:, -1] = self.lid
        half = np.concatenate([[0], self.cells, [1]])
        p = _to_walls(_to_walls(self.pressure()).T).T
        return [
            GridSpline((self.nodes, half), u_full[..., None], degree=3),
            GridSpline((half, self.nodes), v_full[..., None], degree=3),
            GridSpline((half, half), p[..., None], degree=3),
        ]


def cavity(
    reynolds: float | int = 100.0, lid: Lid = parabolic_lid, *, n: int = 128, counts: int = 65
) -> Reference:
    """Solve ``(w . grad) w + grad p = Laplace w / Re``, ``div w = 0``, driven by the upper wall.

    Grids of n and n / 2 cells are extrapolated to cell size zero.

    Args:
        reynolds: Reynolds number, positive.
        lid: Speed of the lid along x, of size one.
        n: Cells along each axis, a multiple of 4 and at least 32.
        counts: Reference points along each axis.

    Returns:
        Components ``u, v, p`` of ``x, y``, with p = 0 at the lower left corner. The error estimate
        compares the velocities with the extrapolation from n / 2 and n / 4; the pressure is less
        accurate near the upper corners, where it is nearly singular.

    Raises:
        ValueError: If a number is out of range.
        FloatingPointError: If Newton's iteration fails (Reynolds numbers of several thousand).
    """
    if n < 32 or n % 4 or counts < 2:
        raise ValueError(
            f"n must be a multiple of 4 from 32 on and counts at least 2, got {n} and {counts}"
        )
    runs: list[list[GridSpline]] = []
    stream: GridSpline | None = None
    for cells in (n // 4, n // 2, n):
        flow = Cavity(cells, float(reynolds), lid)
        inner = grid_points((flow.nodes[1:-1],) * 2)
        if stream is not None:
            flow.stream = stream(inner)[:, 0]
        flow.solve()
        whole = np.pad(flow.stream.reshape(cells - 1, cells - 1), 1)
        stream = GridSpline((flow.nodes, flow.nodes), whole[..., None], degree=3)
        runs.append(flow.splines())

    def extrapolated(points: np.ndarray, run: int) -> np.ndarray:
        fine, coarse = (
            np.concatenate([s(points) for s in splines], axis=-1)
            for splines in (runs[run], runs[run - 1])
        )
        return (4 * fine - coarse) / 3

    base = extrapolated(np.zeros((1, 2)), 2)[0, 2]

    def evaluate(points: np.ndarray) -> np.ndarray:
        values = extrapolated(points, 2)
        values[:, 2] -= base
        return values

    axis = np.linspace(0, 1, counts)
    points = grid_points((axis, axis))
    values = evaluate(points)
    gap = np.abs(values - extrapolated(points, 1))[:, :2]
    return Reference.on_grid(
        f"lid-driven cavity, Re = {reynolds:g}",
        f"staggered differences on {n} and {n // 2} cells, extrapolated",
        ("x", "y"),
        ("u", "v", "p"),
        (axis, axis),
        values.reshape(counts, counts, 3),
        error_estimate=float(gap.max()),
        evaluate=evaluate,
    )


def _to_walls(cells: np.ndarray) -> np.ndarray:
    """Add wall values to the first axis by the parabola through the three nearest cells."""
    weights = np.array([15, -10, 3]) / 8
    return np.concatenate(
        [[weights @ cells[:3]], cells, [weights @ cells[:-4:-1]]],
    )
