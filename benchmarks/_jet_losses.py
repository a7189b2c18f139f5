"""Losses on derivatives of a SIREN, each by nested automatic differentiation and from a jet.

The nested ones are in the style of the SIREN authors' code: a reverse pass with ``create_graph``
for every component of every Jacobian. Constants of the absorbing layer are those of section 5 of
Sitzmann et al., arXiv:2006.09661.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

import fields

WAVENUMBER, STRENGTH, LAYER = 20.0, 5.0, 0.5
SPEED = 1.0
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


# nested automatic differentiation, as in the authors' code


class PlainSiren(nn.Module):
    """A SIREN's layers in the authors' form, sharing the parameters of ours."""

    def __init__(self, field: fields.Siren) -> None:
        super().__init__()
        self.field = field

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate layer by layer."""
        for layer in self.field.hidden:
            x = torch.sin(layer.omega * layer.affine(x))
        return self.field.readout(x)


def reverse(y: Tensor, x: Tensor) -> Tensor:
    """Gradient of one component ``(n,)``, as ``(n, d)``."""
    return torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)[0]


def full_jacobian(y: Tensor, x: Tensor) -> Tensor:
    """Jacobian ``(n, c, d)``, a reverse pass for each component."""
    return torch.stack([reverse(y[:, c], x) for c in range(y.shape[1])], dim=1)


def nested_gradient(field: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return (reverse(field(x)[:, 0], x) - target[:, :2]).square().mean()


def nested_laplacian(field: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    slopes = reverse(field(x)[:, 0], x)
    second = torch.zeros_like(slopes[:, 0])
    for i in range(x.shape[1]):
        second = second + reverse(slopes[:, i], x)[:, i]
    return (second - target[:, 0]).square().mean()


def nested_wave(field: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    slopes = reverse(field(x)[:, 0], x)
    second = full_jacobian(slopes, x)
    residual = second[:, 0, 0] - SPEED**2 * (second[:, 1, 1] + second[:, 2, 2])
    return (residual - target[:, 0]).abs().mean()


def nested_helmholtz(field: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Residuals of every complex field in the output; what is left over is the medium."""
    x = x.clone().requires_grad_()
    y = field(x)
    slopes = full_jacobian(y, x)
    stretch = stretches(x)
    total = torch.zeros_like(x[:, 0])
    for u in range(0, y.shape[1] - 1, 2):
        flow = []
        for axis in range(2):
            here = stretch[axis] * torch.complex(slopes[:, u, axis], slopes[:, u + 1, axis])
            turned = full_jacobian(torch.view_as_real(here), x)[:, :, axis]
            flow.append(torch.complex(turned[:, 0], turned[:, 1]))
        wave = torch.complex(y[:, u], y[:, u + 1])
        residual = flow[0] + flow[1] + stretch[2] * medium(y) * WAVENUMBER**2 * wave
        total = total + distance(residual, target)
    return total.mean()


# the same losses from one jet


def jet_gradient(field: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    _, slopes = fields.jet(field, x, "gradient")
    return (slopes[:, 0] - target[:, :2]).square().mean()


def jet_laplacian(field: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    _, _, second = fields.jet(field, x, "laplacian")
    return (second[:, 0] - target[:, 0]).square().mean()


def jet_wave(field: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    weights = (1.0, -(SPEED**2), -(SPEED**2))
    _, _, residual = fields.jet(field, x, "operator", weights=weights)
    return (residual[:, 0] - target[:, 0]).abs().mean()


def jet_helmholtz(field: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Residuals of every complex field in the output; what is left over is the medium."""
    y, slopes, second = fields.jet(field, x, "axes")
    with torch.enable_grad():
        at = x.clone().requires_grad_()
        stretch = stretches(at)
        # d (A u_x) / dx = A_x u_x + A u_xx: the layer's own slopes involve no weights
        bend = [
            torch.complex(reverse(part.real, at)[:, i], reverse(part.imag, at)[:, i]).detach()
            for i, part in enumerate(stretch[:2])
        ]
    stretch = [part.detach() for part in stretch]
    even = 2 * ((y.shape[1]) // 2)
    wave, first, bent = (
        torch.complex(part[:, 0:even:2], part[:, 1:even:2]) for part in (y, slopes, second)
    )
    residual = stretch[2][:, None] * medium(y)[:, None] * WAVENUMBER**2 * wave
    for i in range(2):
        residual = residual + bend[i][:, None] * first[..., i] + stretch[i][:, None] * bent[..., i]
    return distance(residual, target[:, None]).sum(1).mean()


def stretches(x: Tensor) -> list[Tensor]:
    """A = e_y / e_x, B = e_x / e_y and C = e_x e_y of the absorbing layer in [-1, 1]^2."""
    depth = torch.relu(x.abs() - (1 - LAYER)) / LAYER
    e = torch.complex(torch.ones_like(x), -STRENGTH * depth.square())
    return [e[:, 1] / e[:, 0], e[:, 0] / e[:, 1], e[:, 0] * e[:, 1]]


def medium(y: Tensor) -> Tensor:
    """Squared slowness: the last of an odd number of outputs, else one."""
    if y.shape[1] % 2 == 0:
        return torch.ones_like(y[:, 0])
    return 1 + y[:, -1].clamp(min=-0.999)


def distance(residual: Tensor, source: Tensor) -> Tensor:
    """L1 distance of a complex residual from a source ``(..., 2)``."""
    return (residual.real - source[..., 0]).abs() + (residual.imag - source[..., 1]).abs()
