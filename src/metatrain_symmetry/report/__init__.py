"""Draws reports: figures and the page. Computes nothing."""

from .folder import draw_report
from .page import write_page


__all__ = ["draw_report", "write_page"]
