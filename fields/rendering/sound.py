"""A field of one coordinate as a sound."""

from pathlib import Path

import torch
from torch import nn

from fields.chunk import chunked
from fields.lattice import lattice
from fields.rendering import Order, whole_numbers
from fields.sound import Sound, write_sound
from overparam.errors import InputError


class SoundRendering:
    """Sounds: wav, in the sample format and at the loudness of the sound that was fitted.

    More samples over the same stretch are a higher rate, so that pitch stays.
    """

    suffixes = (".wav",)
    corners = ("START", "END")
    scaled_axes = 1

    def size(self, resolution: str, shape: list[int]) -> list[int]:
        """Return the samples; ``resolution`` is their number.

        Raises:
            InputError: If it is more than one number, or too few samples to have a rate.
        """
        asked = whole_numbers(resolution, "")
        if len(asked) != 1 or asked[0] < 2:
            raise InputError(
                f"resolution of a sound must be its samples, at least 2, got {resolution!r}"
            )
        return asked

    def memory(self, order: Order) -> int:
        """Return the bytes of coordinates, values and what is written of them."""
        return 24 * order.size[0]

    @torch.no_grad()
    def write(self, field: nn.Module, out: Path, order: Order) -> str:
        """Evaluate the field and write the sound.

        Raises:
            InputError: If the rate is more than a wav file can state.
        """
        (samples,) = order.size
        ((first, last),) = order.extent
        ((own_first, own_last),) = order.signal["extent"]
        own = (own_last - own_first) / (order.signal["shape"][0] - 1)
        rate = round(order.signal["rate"] * own * (samples - 1) / (last - first))
        # the header counts bytes per second in 32 bits
        if not 1 <= rate < 2**32 // 8:
            raise InputError(
                f"resolution {samples} over {last - first:g} units makes {rate} samples a second, "
                "which a wav file cannot say"
            )
        x = lattice([samples], order.extent)
        values = chunked(lambda part: field(part.to(order.device)).cpu(), x, order.chunk)[:, 0]
        write_sound(
            Sound(values.double() * order.signal["peak"], rate, order.signal["format"]), out
        )
        return f"{samples} samples at {rate} a second"


RENDERING = SoundRendering()
