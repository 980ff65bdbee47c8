"""How ``mtt`` finds us: the only room that patches anything (see ``hook.py``)."""
