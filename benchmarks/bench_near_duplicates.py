"""Near-duplicates: how many planted ones are found, how many pairs are false, and what a million images cost.

Expected (2 cores, clothing photos): recall >= 0.95 of 200 planted, no false pair, a million in under 2 minutes.

    python benchmarks/bench_near_duplicates.py PHOTOS [--planted 200] [--millions 1] [--contact-sheet pairs.png]

Every photo below PHOTOS is taken in, then changed copies of some of them: recompressed, resized, cropped by up to
10 % of the area, brightened, flipped. A pair is right when it ties a copy to its origin, or two copies of one origin.
Pairs among the photos themselves have to be judged by eye: --contact-sheet draws them.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from visionpipe.images.duplicates import DescriptorIndex, Link, NearDuplicates, describe, flip
from visionpipe.images.inspect import Inspection, inspect_photo
from visionpipe.images.parameters import IngestionParameters

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from planted_duplicates import CHANGES, plant

SIDE = 64


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of photos, one sub-folder a class")
    parser.add_argument("--planted", type=int, default=200)
    parser.add_argument("--millions", type=float, default=1.0, help="0 leaves the scale out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--contact-sheet", type=Path)
    arguments = parser.parse_args()
    if arguments.photos is None:
        print(f"{parser.prog}: left out, it needs a folder of photos")
        return
    chance = random.Random(arguments.seed)
    files = [path for path in sorted(arguments.photos.rglob("*")) if path.is_file()]
    data = {str(path): path.read_bytes() for path in files}
    looks = look_at(data)
    data = {name: data[name] for name in looks}
    origins = chance.sample(sorted(looks), arguments.planted)
    changes = [list(CHANGES)[number % len(CHANGES)] for number in range(len(origins))]
    copies = {
        f"{change}:{origin}": plant(data[origin], change, chance)
        for change, origin in zip(changes, origins, strict=True)
    }
    report_planted(looks, look_at(copies), data | copies, arguments.contact_sheet)
    if arguments.millions:
        report_scale(np.stack(list(looks.values())), round(arguments.millions * 1e6))


def look_at(data: dict[str, bytes]) -> dict[str, np.ndarray]:
    """Return the looks of all photos that can be used."""
    parameters = IngestionParameters()
    seen = {name: inspect_photo(photo, parameters)[1] for name, photo in data.items()}
    return {
        name: np.frombuffer(one.thumbnail, np.uint8).reshape(SIDE, SIDE)
        for name, one in seen.items()
        if isinstance(one, Inspection)
    }


def report_planted(
    looks: dict[str, np.ndarray], copies: dict[str, np.ndarray], data: dict[str, bytes], sheet: Path | None
) -> None:
    """Print recall and pairs among the photos and their planted copies."""
    search = NearDuplicates([], np.zeros((0, 63), np.int8), lambda _: np.zeros((0, SIDE, SIDE), np.uint8))
    among_photos = find(search, list(looks), np.stack(list(looks.values())))
    own_pairs = [(name, link) for name, links in zip(looks, among_photos, strict=True) for link in links]
    found = find(search, list(copies), np.stack(list(copies.values())))
    right, wrong, recalled = 0, [], Counter()
    for copy, links in zip(copies, found, strict=True):
        change, origin = copy.split(":", 1)
        hits = [link.image_id.split(":", 1)[-1] == origin for link in links]
        right += sum(hits)
        wrong += [(copy, link) for link, hit in zip(links, hits, strict=True) if not hit]
        recalled[change] += any(hits)
    planted = Counter(copy.split(":", 1)[0] for copy in copies)
    print(f"{len(looks)} photos, {len(copies)} planted near-duplicates")
    for change in planted:
        print(f"  {change:13s} {recalled[change]:3d} of {planted[change]} found")
    print(f"recall {recalled.total() / len(copies):.3f}")
    print(f"pairs with a copy: {right} right, {len(wrong)} wrong; pairs among the photos: {len(own_pairs)}")
    if sheet and (own_pairs or wrong):
        draw(sheet, [(one, link.image_id) for one, link in own_pairs + wrong], data)


def find(search: NearDuplicates, names: list[str], looks: np.ndarray) -> list[list[Link]]:
    """Search with the descriptors that ingestion would have computed."""
    return search.find(names, looks, describe(looks))


def draw(sheet: Path, pairs: list[tuple[str, str]], data: dict[str, bytes]) -> None:
    """Draw pairs side by side, to be judged by eye."""
    size, across = 160, 4
    canvas = Image.new("RGB", (across * 2 * size, -(-len(pairs) // across) * size))
    for number, pair in enumerate(pairs):
        for side, name in enumerate(pair):
            picture = Image.open(io.BytesIO(data[name])).convert("RGB").resize((size, size))
            canvas.paste(picture, ((number % across * 2 + side) * size, number // across * size))
    canvas.save(sheet)


def report_scale(looks: np.ndarray, count: int) -> None:
    """Print what it costs to find the nearest earlier images of all, in a collection made by blending photos."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    descriptors = np.concatenate(
        [describe(blend(looks, min(8192, count - first), rng)) for first in range(0, count, 8192)]
    )
    print(f"{count:,} images blended from {len(looks)} photos in {time.perf_counter() - started:.0f} s")
    copied = rng.choice(count, 1000, replace=False)
    noise = rng.normal(0, 3, (1000, descriptors.shape[1]))  # about what recompression does
    copies = np.clip(descriptors[copied] + noise, -127, 127).astype(np.int8)
    started = time.perf_counter()
    index = DescriptorIndex()
    for first in range(0, count, 2048):
        index.add(descriptors[first : first + 2048])
    added = time.perf_counter()
    for first in range(0, count, 2048):
        for wanted in (descriptors[first : first + 2048], flip(descriptors[first : first + 2048])):
            index.search(wanted, 3)
    ended = time.perf_counter()
    print(f"index {added - started:.1f} s, every image searched as it is and mirrored {ended - added:.1f} s")
    _, numbers = index.search(copies, 3)
    print(
        f"of 1,000 noisy copies {np.mean((numbers == copied[:, None]).any(axis=1)):.3f} are among the nearest 3"
    )


def blend(looks: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Blend random pairs of photos, shifted: new pictures with the spectrum of real ones."""
    one, other = (looks[rng.integers(0, len(looks), count)].astype(np.float32) for _ in range(2))
    other = np.roll(other, rng.integers(0, SIDE, 2), axis=(1, 2))
    weight = rng.uniform(0.2, 0.8, (count, 1, 1)).astype(np.float32)
    return (one * weight + other * (1 - weight)).astype(np.uint8)


if __name__ == "__main__":
    main()
