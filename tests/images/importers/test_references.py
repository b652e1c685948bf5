"""The file that a reference means is found by the folders above it, however many files have its name."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.images.importers.photo import ReadFile
from visionpipe.images.importers.places import ListedFile
from visionpipe.images.importers.references import Files, resolve

PATHS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).flatmap(
    lambda folders: st.sampled_from(["1.jpg", "2.jpg"]).map(lambda name: "/".join([*folders, name]))
)


def listed(paths: list[str]) -> list[ListedFile]:
    return [ListedFile(path, 1, 1, ReadFile(path)) for path in paths]


def shared_folders(one: str, other: str) -> int:
    """Count the folders right above two files that have the same names, one by one."""
    count = 0
    for mine, theirs in zip(one.split("/")[-2::-1], other.split("/")[-2::-1], strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def meant(reference: str, paths: list[str]) -> tuple[str, ...]:
    """Compare a reference with every file: those of the most shared folders, or none where it must be elsewhere."""
    if reference in paths:
        return (reference,)
    named = [path for path in paths if path.rpartition("/")[2] == reference.rpartition("/")[2]]
    most = max((shared_folders(reference, path) for path in named), default=0)
    best = [path for path in named if shared_folders(reference, path) == most]
    folder = reference.rpartition("/")[0]
    is_folder = bool(folder) and any(path.rpartition("/")[0] == folder for path in paths)
    if is_folder and not most and not any(path.startswith(f"{folder}/") for path in best):
        return ()
    return tuple(best)


@settings(max_examples=300)
@given(st.lists(PATHS, max_size=25, unique=True), PATHS)
def test_the_file_under_the_most_folders_of_the_same_names_is_meant(paths, reference):
    found = resolve({"row": (reference,)}, Files(listed(paths)), "/photos")["row"]
    match meant(reference, paths):
        case [path]:
            assert found == listed([path])[0]
        case []:
            assert found[0] == "no_image"
        case best:
            start = f"{len(best)} files have the file name '{reference.rpartition('/')[2]}': "
            assert found[0] == "ambiguous_image"
            assert found[1] == start + ", ".join(best[:3]) + (", …" if len(best) > 3 else "")


def test_twenty_thousand_files_of_one_name_each_find_their_row():
    """Compared pair by pair they would take hours."""
    cases = [f"case_{number:06d}" for number in range(20_000)]
    files = listed([f"train/{case}/image.jpg" for case in cases])
    found = resolve({case: (f"{case}/image.jpg",) for case in cases}, Files(files), "/photos")
    assert found == dict(zip(cases, files, strict=True))


def test_rows_of_a_folder_that_lacks_their_image_are_told_apart_from_all_files_of_its_name():
    cases = [f"case_{number:06d}" for number in range(5_000)]
    files = listed([path for case in cases for path in (f"{case}/mask.jpg", f"elsewhere/{case}x/image.jpg")])
    found = resolve({case: (f"{case}/image.jpg",) for case in cases}, Files(files), "/photos")
    assert {answer[0] for answer in found.values()} == {"no_image"}
