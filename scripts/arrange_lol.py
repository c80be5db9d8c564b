"""Arrange LOL v1's training pairs in the layout that `attnimg train enhance` reads, split as for the model `night`.

    python scripts/arrange_lol.py our485 DATA --ordinary BSDS500/data/images/train --count 50

    our485/low/N.png, our485/high/N.png    DATA/train/low/N.png, DATA/train/normal/N.png     352 pairs
                                           DATA/val/low/N.png, DATA/val/normal/N.png         43 pairs of other scenes
    BSDS500/data/images/train/*.jpg        DATA/train/normal/*.jpg                           the first 50 by name

Of the other 90 pairs, four are misaligned, and the rest repeat a target. The official evaluation set, eval15, is not
used. LOL is Wei et al. 2018 (BMVC), BSDS500 Arbelaez et al. 2011 (https://doi.org/10.1109/TPAMI.2010.161).
"""

from __future__ import annotations

import argparse
from pathlib import Path

SPLIT = {
    "train": """
        2 5-6 12-16 21 24 33 35-36 38-40 42-48 50-52 57-64 67-70 73-78 80-84 86-89 91-107 109-110 112-132 135-140 147
        149-152 154 157 162 167 171-176 180 183-187 193-196 198-204 206-207 209-213 215-216 219-222 225 227-232 236
        238-244 246-247 251-254 257-265 267 330 342 344 450 460 464 468-492 494-497 499-502 504-508 511-512 514-515
        517 522 524-528 530 533-535 537-546 548-555 557-576 578-579 583 593 598 604-605 607 609 611-613 615-617
        620-623 625 627-628 630 634 637-639 642 647 649-650 653-655 659 664 667-668 671 675 677 679 681 685 687 689
        691 695 697 700 703 711 713 715 717 719 721 723 725 727 732 734-736 738 740-741 744 746-747 750 758 760 762
        764 766 774 779 784 788""",
    "val": """
        9-10 17-18 25-28 53-54 56 143-145 159-160 169 188-189 191 233 235 248-250 498 523 585 588 596 601 645-646 661
        663 683 693 709 730 752 770 772 776""",
}
FOLDERS = {"low": "low", "high": "normal"}


def read_numbers(ranges: str) -> list[int]:
    """Return the numbers of "1 3-5" as [1, 3, 4, 5]."""
    ends = [part.split("-") for part in ranges.split()]
    return [number for first, *last in ends for number in range(int(first), int(last[0] if last else first) + 1)]


def arrange(source: Path, data: Path, ordinary: Path | None, count: int) -> None:
    """Make the folder `data`, which must not exist yet, of symbolic links."""
    if data.exists():
        raise SystemExit(f"{data} exists already. Name a new folder, so that no two data sets mix.")
    links: dict[Path, Path] = {}
    for folder, ours in FOLDERS.items():
        photos = {path.stem: path.resolve() for path in (source / folder).glob("*.*")}
        for part, ranges in SPLIT.items():
            numbers = [str(number) for number in read_numbers(ranges)]
            if missing := [number for number in numbers if number not in photos]:
                raise SystemExit(f"{source / folder} lacks {len(missing)} photos, among them {missing[0]}. Add them.")
            links |= {data / part / ours / photos[number].name: photos[number] for number in numbers}
    if ordinary is not None:
        others = sorted(ordinary.glob("*.jpg"))[:count]
        if len(others) < count:
            raise SystemExit(f"{ordinary} holds {len(others)} photos, not {count}.")
        links |= {data / "train/normal" / f"bsds_{path.name}": path.resolve() for path in others}
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="LOL's folder our485")
    parser.add_argument("data", type=Path, help="the folder to make")
    parser.add_argument("--ordinary", type=Path, help="a folder of ordinary photos, to be darkened in training")
    parser.add_argument("--count", type=int, default=50, help="how many of them, by name")
    given = parser.parse_args()
    arrange(given.source, given.data, given.ordinary, given.count)
