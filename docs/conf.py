"""Settings of the documentation: ``make docs`` builds it into ``docs/build``."""

import sys
import warnings
from importlib.metadata import version as installed_version
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

# of metatrain, about its own use of OmegaConf
warnings.filterwarnings("ignore", message="(?s).*register_new_resolver")

project = "metatrain-symmetry"
author = "metatrain-symmetry developers"
copyright = author
release = version = installed_version(project)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    # ours: tables from the code, the help of our commands, formulas
    "options_table",
    "measure_tables",
    "command_help",
    "mathml",
]
exclude_patterns = ["build", "_extensions"]

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80

html_theme = "furo"
html_math_renderer = "mathml"
html_title = project
