"""The same values give the same bytes: in this process, in another one, in threads, whatever the user's settings."""

import hashlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib

from visionpipe.reports import pages, plots
from visionpipe.reports.canvas import svg_data_uri
from visionpipe.reports.evaluation_page import evaluation_page

ELSEWHERE = """
import hashlib
from visionpipe.reports import plots
print(hashlib.sha256(plots.confusion_matrix([[5, 1], [2, 7]], ["a", "b"]).encode()).hexdigest())
"""


def test_the_same_evaluation_gives_the_same_bytes_twice(make_evaluation, make_mistakes):
    first, second = (evaluation_page(make_evaluation(12), make_mistakes()) for _ in range(2))
    assert first == second


def test_another_process_gives_the_same_bytes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    here = plots.confusion_matrix([[5, 1], [2, 7]], ["a", "b"])
    assert done.stdout.strip() == hashlib.sha256(here.encode()).hexdigest()


def test_threads_that_draw_at_once_give_the_bytes_of_one(make_evaluation):
    confusions = [make_evaluation(k)["confusion"] for k in (2, 3, 5, 8)] * 3
    names = [[str(i) for i in range(len(confusion))] for confusion in confusions]
    alone = list(map(plots.confusion_matrix, confusions, names))
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(plots.confusion_matrix, confusions, names)) == alone


def test_only_one_thread_at_a_time_draws_under_the_global_settings():
    inside, most = [], []

    def draw(figure):
        inside.append(figure)
        most.append(len(inside))
        time.sleep(0.02)
        inside.remove(figure)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: svg_data_uri(draw, width_in=1, height_in=1), range(8)))
    assert max(most) == 1


def test_the_users_matplotlib_settings_neither_matter_nor_change():
    usual = plots.confusion_matrix([[5, 1], [2, 7]], ["a", "b"])
    with matplotlib.rc_context({"axes.labelsize": 30, "font.size": 30, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert plots.confusion_matrix([[5, 1], [2, 7]], ["a", "b"]) == usual
        assert dict(matplotlib.rcParams) == before


def test_no_figure_is_left_open_in_pyplot():
    code = "import sys; from visionpipe.reports import plots; plots.confusion_matrix([[1]], ['a']); "
    code += "print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_importing_the_reports_imports_no_drawing_or_template_library():
    code = "import sys; import visionpipe.reports.pages; "
    code += "print(sorted({'matplotlib', 'jinja2', 'numpy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_page_knows_the_time_or_the_machine(all_pages):
    for html in all_pages.values():
        assert str(Path.home()) + "/" not in html
        assert str(Path(pages.__file__).parent) not in html
