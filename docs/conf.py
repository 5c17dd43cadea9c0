"""Settings of the documentation site, which `tox -e docs` builds in .tox/docs/site.

The pages are Markdown that a repository view shows as well. The API reference is made of
docstrings, one page per package, of the names in its `__all__`.
"""

import re

import h2s_keras

project = "h2s_keras"
author = "the h2s_keras authors"
project_copyright = "2026, the h2s_keras authors (Apache-2.0)"
version = release = h2s_keras.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
root_doc = "index"
templates_path = ["_templates"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"h2s_keras {version}"

# Links to headings as a repository view has them; files beside the pages can be fetched.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autosummary_generate = True
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "show-inheritance": True,
}
autodoc_typehints = "none"
# A field described under Attributes is not listed a second time.
napoleon_use_ivar = True
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    ("Call arguments of update_state", "params_style"),
    ("Targets of fit", "params_style"),
    ("Arguments of compile", "params_style"),
    "Input shape",
    "Output shape",
]
# `name` in docstrings is code, as in Markdown.
default_role = "code"


def _markdown_to_rst(app, what, name, thing, options, lines):
    """Turns the fences of a docstring into the blocks that autodoc reads."""
    text = re.sub(
        r"^( *)```(\w*)\n(.*?)^\1```$",
        lambda found: _block(*found.groups()),
        "\n".join(lines),
        flags=re.M | re.S,
    )
    lines[:] = text.split("\n")


def _block(indent, language, code):
    inner = "".join(f"    {line}\n" for line in code.splitlines())
    return f"{indent}.. code-block:: {language or 'text'}\n\n{inner}\n"


def setup(app):
    # Before napoleon, which reads the sections.
    app.connect("autodoc-process-docstring", _markdown_to_rst, priority=400)
