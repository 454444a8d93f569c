"""How the documentation is built: `make docs`."""

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.writers.html5 import HTML5Translator

import dreamlap

project = "dreamlap"
author = "the developers of dreamlap"
release = dreamlap.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = "dreamlap"
html_show_copyright = False
html_static_path: list[str] = []
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"


class Anchors(SphinxTransform):
    """`<a id="trial-203"></a>`, GitHub's form of an anchor, is a target: a link to one that is missing fails the build."""

    default_priority = 800  # before links are resolved

    def apply(self, **_: Any) -> None:
        for raw in list(self.document.findall(nodes.raw)):
            if found := re.fullmatch(r'<a id="([\w-]+)">', raw.astext()):
                target = nodes.target(ids=[found[1]], names=[found[1]])
                self.document.note_explicit_target(target)
                raw.next_node(nodes.raw, descend=False, siblings=True).replace_self([])
                raw.replace_self(target)


def mathml(page: HTML5Translator, node: nodes.Element) -> None:
    """Equations as browsers draw them by themselves: without a script, and without a network."""
    page.body.append(convert(node.astext(), display="block" if isinstance(node, nodes.math_block) else "inline"))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.add_transform(Anchors)
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
