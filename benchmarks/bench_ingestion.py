"""Ingestion against decoding alone, and against itself: speed, memory, a re-run, the cost as the store grows.

    python benchmarks/bench_ingestion.py PHOTOS [--repeats 5] [--sizes 2000 20000 200000] [--workers 2]

PHOTOS is a folder with one sub-folder a class. Decoding alone is what `simplejpeg`, `torchvision` and Pillow make of
the same files, each in as many processes; the fastest counts. Ratios are taken within a repeat, so that a slower
moment of the machine slows both sides. Photos of more megapixels are made of several photos in one, which keeps as much
detail in a megapixel. For memory and growth, photos are encoded anew, each copy cropped and brightened differently and
saved at another quality, until there are as many as --sizes asks for.

Expected: at least 0.6 x the rate of decoding alone, below 1.5 GB at any size, a re-run 20 x faster, a flat cost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
from PIL import Image, ImageEnhance

from visionpipe.images import store
from visionpipe.images.importers import Source, iterate_photos
from visionpipe.images.ingest import ingest
from visionpipe.images.parameters import IngestionParameters
from visionpipe.images.shards import append_shard

TABLES = (("labels", store.LABEL_SCHEMA), ("images", store.IMAGE_SCHEMA), ("files", store.FILE_SCHEMA))


def decode_simplejpeg(path: Path) -> None:
    """Decode to RGB by libjpeg-turbo, called directly."""
    import simplejpeg

    simplejpeg.decode_jpeg(path.read_bytes())


def decode_torchvision(path: Path) -> None:
    """Decode to RGB by torchvision, one thread a process."""
    import torch
    from torchvision.io import decode_image

    torch.set_num_threads(1)
    decode_image(torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8))


def decode_pillow(path: Path) -> None:
    """Decode to RGB by Pillow."""
    with Image.open(path) as image:
        image.convert("RGB")


DECODERS = {"simplejpeg": decode_simplejpeg, "torchvision": decode_torchvision, "Pillow": decode_pillow}


def decoding_rate(decoder: str, files: list[Path], workers: int) -> float:
    """Decode all files in processes that are up already; return photos a second."""
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(DECODERS[decoder], files[: workers * 4]))
        started = time.perf_counter()
        list(pool.map(DECODERS[decoder], files, chunksize=32))
        return len(files) / (time.perf_counter() - started)


def take_in(photos: Path, root: Path, parameters: IngestionParameters) -> tuple[float, int]:
    """Ingest as the pipeline does; return seconds and photos listed."""
    started = time.perf_counter()
    source = Source(name="photos", importer="folder", path=photos)
    listed = list(iterate_photos(source, datetime(2026, 1, 1, tzinfo=UTC)))
    tables = (
        store.read_store_index(root / "images"),
        store.StoredLooks(root / "images"),
        store.read_tables(root / "labels"),
        store.read_tables(root / "files", store.FILE_SCHEMA),
    )
    for chunk in ingest(listed, *tables, parameters):
        for name, schema in TABLES:
            if rows := getattr(chunk, name):
                append_shard(root / name, rows, schema, prefix=name)
    return time.perf_counter() - started, len(listed)


def in_a_process(photos: Path, root: Path, parameters: IngestionParameters) -> dict[str, float]:
    """Ingest in a process of its own; return seconds, photos, and peak memory of it and of all its workers [MB]."""
    command = [sys.executable, __file__, "--child", str(photos), str(root), parameters.model_dump_json()]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    workers_mb = 0.0
    while run.poll() is None:
        resident = 0
        for process in psutil.Process(run.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                resident += process.memory_info().rss
        workers_mb = max(workers_mb, resident / 1e6)
        time.sleep(0.2)
    if run.returncode:
        raise RuntimeError("the ingestion failed")
    return {**json.loads(run.stdout.read()), "workers_mb": workers_mb}


def child(photos: str, root: str, parameters: str) -> None:
    """Print what `in_a_process` returns."""
    seconds, count = take_in(Path(photos), Path(root), IngestionParameters.model_validate_json(parameters))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": seconds, "photos": count, "own_mb": own}))


def report_speed(photos: Path, repeats: int, workers: int, scratch: Path) -> None:
    """Print rates and their ratios, repeat by repeat."""
    files = [path for path in sorted(photos.rglob("*")) if path.suffix.lower() in {".jpg", ".jpeg"}]
    ways = {
        "ingestion": IngestionParameters(workers=workers),
        "ingestion without near-duplicates": IngestionParameters(workers=workers, near_duplicates=False),
    }
    ratios: dict[str, list[float]] = {name: [] for name in (*ways, "re-run")}
    rates: dict[str, list[float]] = {name: [] for name in (*DECODERS, *ways)}
    for repeat in range(repeats):
        for decoder in DECODERS:
            rates[decoder].append(decoding_rate(decoder, files, workers))
        fastest = max(rates[decoder][-1] for decoder in DECODERS)
        for name, parameters in ways.items():
            root = scratch / f"{repeat} {name}"
            first = in_a_process(photos, root, parameters)
            rates[name].append(first["photos"] / first["seconds"])
            ratios[name].append(rates[name][-1] / fastest)
            if name == "ingestion":
                ratios["re-run"].append(first["seconds"] / in_a_process(photos, root, parameters)["seconds"])
    print(
        f"{photos.name}: {len(files)} JPEG files, {repeats} repeats, {workers} processes; min / median / max"
    )
    for name, values in rates.items():
        print(f"  {name:34s} {min(values):7.0f} {statistics.median(values):7.0f} {max(values):7.0f} photos/s")
    for name, values in ratios.items():
        against = "first run / second run" if name == "re-run" else "x fastest decoder"
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"  {name:34s} {low:7.2f} {middle:7.2f} {high:7.2f} {against}")


def encode_anew(number: int, files: list[Path], target: Path, tiles: int = 1) -> None:
    """Save a changed copy of a photo or, for more megapixels as rich in detail, `tiles` x `tiles` photos in one."""
    chance = random.Random(number)
    path = files[number % len(files)]
    with Image.open(path) as photo:
        left, top = (round(side * chance.uniform(0, 0.2)) for side in photo.size)
        changed = photo.convert("RGB").crop((left, top, *photo.size))
    if tiles > 1:
        width, height = changed.size
        whole = Image.new("RGB", (tiles * width, tiles * height))
        for place in range(tiles**2):
            with Image.open(chance.choice(files)) as photo:
                tile = photo.convert("RGB").resize((width, height))
            whole.paste(tile, (place % tiles * width, place // tiles * height))
        changed = whole
    changed = ImageEnhance.Brightness(changed).enhance(chance.uniform(0.7, 1.3))
    folder = target / path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    changed.save(folder / f"{number}.jpg", quality=chance.randint(60, 90))


def make_photos(photos: Path, target: Path, first: int, last: int, workers: int, tiles: int = 1) -> None:
    """Make copies number `first` to `last`."""
    make = partial(encode_anew, files=sorted(photos.rglob("*.jpg")), target=target, tiles=tiles)
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(make, range(first, last), chunksize=16))


def report_growth(photos: Path, sizes: list[int], workers: int, scratch: Path) -> None:
    """Print memory and cost a photo as one store grows."""
    made, root, before = scratch / "made", scratch / "growing", 0
    for size in sizes:
        make_photos(photos, made, before, size, workers)
        first = in_a_process(made, root, IngestionParameters(workers=workers))
        again = in_a_process(made, root, IngestionParameters(workers=workers))
        print(
            f"  {size:7,d} in the store: {1e3 * first['seconds'] / (size - before):.2f} ms a new photo "
            f"({size - before:,}), peak {first['own_mb']:.0f} MB + workers {first['workers_mb']:.0f} MB; "
            f"nothing new: {again['seconds']:.1f} s, {again['own_mb']:.0f} MB",
            flush=True,
        )
        before = size


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of photos, one sub-folder a class")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="*", default=[2000, 20000, 200000])
    arguments = parser.parse_args()
    if arguments.photos is None:
        print(f"{parser.prog}: left out, it needs a folder of photos")
        return
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if arguments.repeats:
            report_speed(arguments.photos, arguments.repeats, arguments.workers, scratch)
            for made, count, tiles in (
                ("encoded anew", 8000, 1),
                ("2 x 2 in one", 3000, 2),
                ("4 x 4 in one", 2000, 4),
                ("7 x 7 in one", 1000, 7),
            ):
                make_photos(arguments.photos, scratch / made, 0, count, arguments.workers, tiles)
                report_speed(
                    scratch / made, arguments.repeats, arguments.workers, scratch / f"store of {made}"
                )
        if arguments.sizes:
            report_growth(arguments.photos, arguments.sizes, arguments.workers, scratch)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
