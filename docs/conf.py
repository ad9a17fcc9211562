"""Sphinx configuration of the documentation site: `make docs`."""

import quadpred

project = "quadpred"
author = "quadpred contributors"
copyright = "2026, quadpred contributors"
release = quadpred.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"quadpred {release}"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
python_use_unqualified_type_names = True
