"""Measure, cut and wrap text without opening a font: advance widths of DejaVu Sans in thousandths of the font size.

DejaVu Sans is among the widest sans-serif fonts, so text that fits in it also fits in a viewer's substitute.
Kerning is ignored: it only brings letters closer. A test compares the numbers with the bundled font.
"""

from __future__ import annotations

FAMILY = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"

_ASCII = """
    318 401 460 838 636 950 780 275 390 390 500 838 318 361 318 337 636 636 636 636 636 636 636 636 636 636 337 337 838
    838 838 531 1000 684 686 698 770 632 575 775 752 295 295 656 557 863 748 787 603 787 695 635 611 732 684 989 685 611
    685 390 337 390 838 500 500 613 635 550 635 615 352 635 634 278 278 579 278 974 634 612 635 635 411 521 392 634 592
    818 592 592 525 636 337 636 838
"""
_ASCII_BOLD = """
    348 456 521 838 696 1002 872 306 457 457 523 838 380 415 380 365 696 696 696 696 696 696 696 696
    696 696 400 400 838 838 838 580 1000 774 762 734 830 683 683 821 837 372 372 775 637 995 837 850
    733 850 770 720 682 812 774 1103 771 724 725 457 365 457 838 500 500 675 716 593 716 678 435 716
    712 343 343 665 343 1042 712 687 716 716 493 595 478 712 652 924 645 652 582 712 365 712 838
"""
_SYMBOLS = {"×": 838, "·": 318, "→": 838, "…": 1000, "–": 500, "≤": 838, "≥": 838, "∑": 674, "−": 838, "²": 401}
_SYMBOLS_BOLD = {"×": 838, "·": 380, "→": 838, "…": 1000, "–": 500, "≤": 838, "≥": 838, "∑": 718, "−": 838, "²": 438}

WIDTHS = {chr(32 + index): int(width) for index, width in enumerate(_ASCII.split())} | _SYMBOLS
WIDTHS_BOLD = {chr(32 + index): int(width) for index, width in enumerate(_ASCII_BOLD.split())} | _SYMBOLS_BOLD

ASCENT, DESCENT = 0.76, 0.24
"""Height of capitals above the baseline and depth of letters such as g below it, as shares of the font size."""


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of a line of text in the unit of `size`; an unknown character counts as the widest."""
    widths = WIDTHS_BOLD if bold else WIDTHS
    return sum(widths.get(char, 1100) for char in text) * size / 1000


def shortened(text: str, width: float, size: float, bold: bool = False) -> str:
    """Return the text, cut with an ellipsis where it is wider than `width`."""
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(text + "…", size, bold) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, width: float, size: float, bold: bool = False) -> list[str]:
    """Return the text in lines of at most `width`, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size, bold) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
