"""Laws that every domain obeys: sides, measures, normals, Gauss's theorem, uniform samples."""

import pytest
import torch
from scipy import stats

from fields.calculus import gradient, laplacian
from fields.domains import SAMPLERS, Ball, Box, Mesh, Polygon, TimeDomain
from overparam.errors import InputError

from .zoo import CUT, DOMAINS, SURFACE, VOLUME

every = pytest.mark.parametrize("name", DOMAINS)


def around(domain, n, seed=0):
    """Points in a box half as large again as the domain's, float64."""
    lower, upper = domain.bounds
    frame = Box(
        (lower - 0.25 * (upper - lower)).tolist(), (upper + 0.25 * (upper - lower)).tolist()
    )
    return frame.interior(n, seed=seed, dtype=torch.float64)


def samples(domain, n=4096, **options):
    return domain.boundary(n, dtype=torch.float64, **options)


@every
def test_inside_is_where_the_distance_is_negative_and_the_factor_positive(name):
    domain = DOMAINS[name]
    x = around(domain, 1000)
    inside = domain.contains(x)
    assert 0 < inside.double().mean() < 1
    assert torch.equal(inside, domain.signed_distance(x) <= 0)
    assert torch.equal(inside, domain.implicit(x) >= 0)
    assert domain.contains(domain.interior(500, dtype=torch.float64), tolerance=1e-12).all()
    assert (domain.vanishing(domain.interior(500, dtype=torch.float64)) > 0).all()


@every
def test_boundary_points_have_distance_zero_and_a_side_each(name):
    domain = DOMAINS[name]
    x, normals = samples(domain, 1000)
    assert domain.signed_distance(x).abs().max() < 1e-12
    assert domain.implicit(x).abs().max() < 1e-12
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(1000, dtype=torch.float64))
    # corners excepted: there a step along the normal may pass another face
    step = 1e-5 * domain.diameter
    assert domain.contains(x - step * normals).double().mean() > 0.995
    assert domain.contains(x + step * normals).double().mean() < 0.005


@every
def test_distance_has_slope_one_and_is_a_bound(name):
    domain = DOMAINS[name]
    x = around(domain, 500, seed=1)
    d = domain.signed_distance(x)
    y, _ = samples(domain, 1500)
    nearest = torch.cdist(x, y).amin(-1)
    assert (d.abs() <= nearest + 1e-12).all()
    for side, exact in ((d < 0, domain.exact_inside), (d > 0, domain.exact_outside)):
        if exact and domain.dim <= 2:
            # the boundary is sampled every ``surface / 1500``
            gap = SURFACE[name] / 1500 * 3
            assert (nearest[side] - d.abs()[side]).max() < gap
    slope = gradient(lambda z: domain.signed_distance(z)[:, None], x)[:, 0].norm(dim=-1)
    torch.testing.assert_close(slope, torch.ones_like(slope), rtol=0, atol=1e-9)


@every
def test_normals_are_perpendicular(name):
    """The factor's gradient at the boundary points inward along the normal."""
    domain = DOMAINS[name]
    x, normals = samples(domain, 500)
    slope = gradient(lambda z: domain.implicit(z)[:, None], x)[:, 0]
    aligned = -(slope * normals).sum(-1) / slope.norm(dim=-1)
    assert (aligned > 1 - 1e-6).double().mean() > 0.99  # corners have no normal
    # a unit slope is what makes the factor a distance to first order
    torch.testing.assert_close(
        slope.norm(dim=-1).median(), slope.new_tensor(1.0), rtol=0.01, atol=0
    )


@every
def test_factor_can_be_differentiated_twice(name):
    domain = DOMAINS[name]
    x = torch.cat([domain.interior(40, dtype=torch.float64), samples(domain, 20)[0]])
    assert laplacian(lambda z: domain.vanishing(z)[:, None], x).isfinite().all()
    # against differences of first derivatives, away from the boundary
    x = x[domain.signed_distance(x) < -0.02 * domain.diameter][:20]
    step = 1e-5
    total = torch.zeros(len(x), dtype=torch.float64)
    for i in range(domain.dim):
        shift = torch.zeros(domain.dim, dtype=torch.float64)
        shift[i] = step
        high, low = (
            gradient(lambda z: domain.vanishing(z)[:, None], x + s * shift)[:, 0, i]
            for s in (1, -1)
        )
        total += (high - low) / (2 * step)
    ours = laplacian(lambda z: domain.vanishing(z)[:, None], x)[:, 0]
    torch.testing.assert_close(ours, total, rtol=1e-5, atol=1e-5)


@every
def test_measures_are_the_closed_forms(name):
    # counted measures: 65,536 Sobol points in the frame
    tolerance = 2e-3 if name in CUT else 1e-12
    assert DOMAINS[name].volume == pytest.approx(VOLUME[name], rel=tolerance)
    assert DOMAINS[name].boundary_measure == pytest.approx(SURFACE[name], rel=tolerance)


@every
def test_gauss_theorem(name):
    """The integral of a divergence is the flux through the boundary."""
    domain = DOMAINS[name]
    d = domain.dim
    x, weights = domain.quadrature(2**12, dtype=torch.float64)
    assert weights.sum() == pytest.approx(VOLUME[name], rel=2e-3 if name in CUT else 1e-9)
    y, normals = samples(domain, 2**12)
    coefficient = torch.arange(1, d + 1, dtype=torch.float64)
    # F_i = sin(x_i + i) + i x_i x_0
    divergence = torch.cos(x + coefficient).sum(-1) + x[:, 0] * coefficient.sum() + x[:, 0]
    flux = ((torch.sin(y + coefficient) + coefficient * y * y[:, :1]) * normals).sum(-1)
    inner, outer = (divergence * weights).sum(), flux.mean() * domain.boundary_measure
    scale = flux.abs().mean() * domain.boundary_measure
    assert abs(inner - outer) < 5e-3 * scale


def counts_fit(unit, bins, level=1e-4):
    """Chi-square test that numbers are uniform on (0, 1), two-sided for independent points."""
    counts = torch.histc(unit, bins, 0, 1).double()
    p = float(stats.chisquare(counts.numpy()).pvalue)
    return level < p < 1 - level


@pytest.mark.parametrize("name", ["disc", "ball5", "dart", "swiss"])
def test_interior_points_are_uniform(name):
    """Share of the volume below a point, coordinate by coordinate, is uniform (Rosenblatt)."""
    domain = DOMAINS[name]
    x = domain.interior(5_000, sampler="random", seed=3, dtype=torch.float64)
    # the law from an independent sample that is uniform by construction: rejection from the frame
    lower, upper = domain.bounds
    frame = Box(lower.tolist(), upper.tolist()).interior(40_000, sampler="random", seed=4)
    truth = frame.double()[domain.contains(frame.double())]
    for i in range(domain.dim):
        assert stats.ks_2samp(x[:, i].numpy(), truth[:, i].numpy()).pvalue > 1e-3
    cells = 4
    index = ((x - lower) / (upper - lower) * cells).long().clamp(0, cells - 1)
    expected = ((truth - lower) / (upper - lower) * cells).long().clamp(0, cells - 1)
    base = cells ** torch.arange(domain.dim)
    seen = torch.bincount((index * base).sum(-1), minlength=cells**domain.dim)
    want = torch.bincount((expected * base).sum(-1), minlength=cells**domain.dim)
    table = torch.stack([seen, want])[:, (seen + want) > 20]
    assert stats.chi2_contingency(table.numpy()).pvalue > 1e-3


def test_surface_points_are_uniform():
    x, _ = Ball([0, 0], 1).boundary(10_000, sampler="random", dtype=torch.float64)
    assert counts_fit((torch.atan2(x[:, 1], x[:, 0]) / (2 * torch.pi)) % 1, 50)
    x, _ = Ball([0, 0, 0], 1).boundary(10_000, sampler="random", dtype=torch.float64)
    for i in range(3):
        assert counts_fit((x[:, i] + 1) / 2, 50)
    x, _ = Ball([0] * 4, 1).boundary(10_000, sampler="random", dtype=torch.float64)
    # on the unit sphere of four dimensions a coordinate has density (2 / pi) sqrt(1 - z**2)
    z = x[:, 0]
    assert counts_fit((z * (1 - z**2).sqrt() + z.asin()) / torch.pi + 0.5, 50)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", ["rectangle", "swiss", "heated_rod"])
def test_every_piece_of_a_boundary_gets_its_share(name, sampler):
    domain = DOMAINS[name]
    n = 2000
    x, _ = domain.boundary(n, sampler=sampler, seed=5, dtype=torch.float64)
    measures = [domain.part_measure(part) for part in domain.parts]
    nearest = []
    for part in domain.parts:
        y, _ = domain.boundary(300, part=part, seed=6, dtype=torch.float64)
        nearest.append(torch.cdist(x, y).amin(-1))
    seen = torch.stack(nearest).argmin(0).bincount(minlength=len(measures)).double()
    expected = torch.tensor(measures).double()
    expected *= n / expected.sum()
    # quasi-random shares are better than random ones: one-sided
    assert stats.chisquare(seen.numpy(), expected.numpy()).pvalue > 1e-4


@every
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_depend_on_the_seed_alone(name, sampler):
    domain = DOMAINS[name]
    options = {"sampler": sampler, "dtype": torch.float32}
    first, again, other = (domain.interior(65, seed=s, **options) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.dtype == torch.float32 and first.shape == (65, domain.dim)
    first, again = (domain.boundary(65, seed=1, **options) for _ in range(2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])


@every
def test_single_precision_and_batches(name):
    domain = DOMAINS[name]
    x = around(domain, 60).float()
    for function in (domain.signed_distance, domain.implicit):
        values = function(x.reshape(3, 20, -1))
        assert values.shape == (3, 20) and values.dtype == torch.float32
        torch.testing.assert_close(
            values.flatten().double(), function(x.double()), rtol=1e-3, atol=1e-4
        )


@every
def test_parts_make_up_the_boundary(name):
    domain = DOMAINS[name]
    total = sum(domain.part_measure(part) for part in domain.parts)
    assert total == pytest.approx(SURFACE[name], rel=2e-3)
    with pytest.raises(InputError, match="must be one of"):
        domain.boundary(5, part="nowhere")


def test_groups_and_everyday_names():
    plate = TimeDomain(Box([0, 0], [2, 1]) - Ball([0.5, 0.5], 0.25), 0, 1)
    x, normals = plate.boundary(100, part="boundary.left", dtype=torch.float64)
    assert (x[:, 0] == 0).all() and (normals[:, 0] == -1).all()
    x, _ = plate.boundary(200, part=["boundary.hole0", "initial"], dtype=torch.float64)
    on_hole = ((x[:, :2] - 0.5).norm(dim=-1) - 0.25).abs() < 1e-12
    assert ((x[:, 2] == 0) | on_hole).all()
    x, normals = plate.boundary(100, part="boundary", dtype=torch.float64)
    assert (normals[:, 2] == 0).all() and 0 < x[:, 2].min() < x[:, 2].max() < 1


@pytest.mark.parametrize("n", [0, -1])
def test_counts_must_be_positive(n):
    with pytest.raises(ValueError, match="at least 1"):
        Box([0], [1]).interior(n)
    with pytest.raises(ValueError, match="at least 1"):
        Box([0], [1]).quadrature(n)


@every
def test_wrong_dimensions_and_samplers_are_refused(name):
    domain = DOMAINS[name]
    with pytest.raises(ValueError, match="coordinates"):
        domain.signed_distance(torch.zeros(4, domain.dim + 1))
    with pytest.raises(InputError, match="sampler must be one of"):
        domain.interior(3, sampler="dice")


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: Box([0, 0], [1]), "same number"),
        (lambda: Box([], []), "same number"),
        (lambda: Box([0, 0], [1, 0]), "lower < upper"),
        (lambda: Box([0], [float("inf")]), "finite"),
        (lambda: Box([float("nan")], [1]), "finite"),
        (lambda: Ball([0], -1), "positive"),
        (lambda: Ball([0], 0), "positive"),
        (lambda: Ball([], 1), "finite"),
        (lambda: Ball([float("nan")], 1), "finite"),
        (lambda: Polygon([[0, 0], [1, 0]]), "at least 3"),
        (lambda: Polygon([[0, 0], [1, 0], [2, 0]]), "touch|line"),
        (lambda: Polygon([[0, 0], [1, 1], [1, 0], [0, 1]]), "cross"),
        (lambda: Polygon([[0, 0], [2, 0], [2, 2], [1, 0], [0, 2]]), "touch"),
        (lambda: Polygon([[0, 0], [1, 0], [1, 0], [0, 1]]), "twice"),
        (lambda: Polygon([[0, 0], [2, 0], [1, 0], [1, 1]]), "touch"),
        (lambda: Polygon([[0, 0], [1, float("nan")], [1, 1]]), "finite"),
        (lambda: TimeDomain(Box([0], [1]), 1, 1), "t0 < t1"),
        (lambda: TimeDomain(Box([0], [1]), 0, float("nan")), "t0 < t1"),
        (lambda: Box([0], [1]) | Box([0, 0], [1, 1]), "same dimension"),
        (lambda: Mesh.from_file("/no/such.obj"), "existing file"),
    ],
)
def test_nonsense_is_refused(build, word):
    with pytest.raises(InputError, match=word):
        build()
