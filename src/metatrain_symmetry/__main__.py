"""``python -m metatrain_symmetry``: the same as ``mtt``, always with our additions.

``mtt`` has them through an entry point that ``TORCH_DEVICE_BACKEND_AUTOLOAD=0``
switches off; this door does not need it.
"""

import sys

from .plugin.hook import install


def main() -> None:
    """Run metatrain's command line."""
    install()
    from metatrain.__main__ import main as metatrain_main

    # the program's name in usage messages, which would be "__main__.py"
    sys.argv[0] = "python -m metatrain_symmetry"
    metatrain_main()


if __name__ == "__main__":
    main()
