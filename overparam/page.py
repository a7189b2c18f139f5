"""A self-contained web page of results: text, tables and pictures in one file to send around."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from overparam.run_folder import write_whole

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .8rem;border-bottom:1px solid #ccc}
th{text-align:left}td+td,th+th{text-align:right}img{max-width:100%}figure{margin:1rem 0}
figcaption{color:#666;font-size:.9rem}pre{background:#f4f4f4;padding:.6rem;overflow-x:auto}
"""
_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml", ".gif": "image/gif"}


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        title: Heading.
        text: Paragraph below it.
        command: Command that makes it again.
        rows: Table, the first row its heads.
        pictures: (file, caption) pairs; the files are copied into the page.
    """

    title: str
    text: str = ""
    command: str = ""
    rows: Sequence[Sequence[object]] = ()
    pictures: Sequence[tuple[Path, str]] = field(default=())

    def html(self) -> str:
        """Return the section as HTML."""
        parts = [f"<h2>{escape(self.title)}</h2>"]
        if self.text:
            parts.append(f"<p>{escape(self.text)}</p>")
        if self.command:
            parts.append(f"<pre>{escape(self.command)}</pre>")
        if self.rows:
            head, *body = ([escape(str(cell)) for cell in row] for row in self.rows)
            parts.append("<table><tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>")
            for row in body:
                parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>")
            parts.append("</table>")
        for file, caption in self.pictures:
            parts.append(
                f'<figure><img alt="{escape(caption)}" src="{_embedded(file)}">'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )
        return "\n".join(parts)


def write_page(file: Path, title: str, sections: Sequence[Section]) -> None:
    """Write one HTML file that needs no other file and no network.

    Args:
        file: File to write.
        title: Title of the page.
        sections: Its parts, in order.

    Raises:
        ValueError: If a picture is of a kind browsers do not show.
    """
    body = "\n".join(section.html() for section in sections)
    write_whole(
        file,
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}\n"
        "</body></html>\n",
    )


def _embedded(file: Path) -> str:
    if file.suffix not in _KINDS:
        raise ValueError(f"picture must be one of {', '.join(_KINDS)}, got {file.name}")
    return f"data:{_KINDS[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"
