"""A file or a folder is there whole, or as it was before."""

import pytest

from visionpipe.atomic import new_file, new_folder


def files_below(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def test_a_file_takes_the_place_of_the_one_there(tmp_path):
    for text in ("first", "second"):
        with new_file(tmp_path / "new" / "a.txt") as temporary:
            temporary.write_text(text)
    assert files_below(tmp_path) == {"new/a.txt": "second"}


def test_a_folder_takes_the_place_of_the_one_there_with_all_its_files(tmp_path):
    for name in ("old.txt", "new.txt"):
        with new_folder(tmp_path / "folder") as temporary:
            (temporary / name).write_text(name)
    assert files_below(tmp_path) == {"folder/new.txt": "new.txt"}


@pytest.mark.parametrize("make", [new_file, new_folder])
def test_an_error_halfway_leaves_what_was_there(tmp_path, make):
    target = tmp_path / "target"
    with make(target) as temporary:
        (temporary if make is new_file else temporary / "a").write_text("whole")
    before = files_below(tmp_path)
    with pytest.raises(OSError, match="No space"), make(target) as temporary:
        (temporary if make is new_file else temporary / "a").write_text("ha")
        raise OSError(28, "No space left on device")
    assert files_below(tmp_path) == before


def test_what_is_written_is_as_readable_as_any_other_file(tmp_path):
    (tmp_path / "plain").touch()
    (tmp_path / "plain folder").mkdir()
    with new_file(tmp_path / "file") as temporary:
        temporary.touch()
    with new_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "plain folder").stat().st_mode
