"""The page: complete, safe, alone, and alive in a browser."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from metatrain_symmetry.measure.quantities import QUANTITIES
from metatrain_symmetry.report import write_page
from metatrain_symmetry.report.page import CAPTIONS, MAIN
from metatrain_symmetry.report.predictions import draw_spectrum
from metatrain_symmetry.report.style import save
from metatrain_symmetry.report.text import with_error
from metatrain_symmetry.report.verdicts import verdicts


sys.path.insert(0, str(Path(__file__).parent))
from synthetic import DIAGNOSIS, LAYERS, NOT_CONVERGED, OUTPUTS, TARGETS, make_report


BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=2000",
]
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium or Chrome to open the page with"
)


class Reader(HTMLParser):
    """Tags with attributes, and the text that a reader sees."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words, self.hidden = [], [], None
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("style", "script"):
            self.hidden = tag

    def handle_endtag(self, tag):
        if tag == self.hidden:
            self.hidden = None

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)

    def count(self, tag, **attributes):
        return sum(
            t == tag and all(a.get(k) == v for k, v in attributes.items())
            for t, a in self.tags
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report = make_report()
    for name in ("equivariance.csv", "characters.csv", "summary.json"):
        (folder / name).write_text("")
    # one picture for all three: drawing is slow, and tested elsewhere
    path = save(draw_spectrum(report), folder / "figures" / "spectrum")
    write_page(report, folder / "index.html", dict.fromkeys(CAPTIONS, path))
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "index.html").read_text(encoding="utf-8")


def write(report, tmp_path):
    path = write_page(report, tmp_path / "index.html", {})
    return path.read_text(encoding="utf-8")


def test_content_in_order(page):
    reader = Reader(page)
    assert reader.count("h1") == 1
    places = [
        reader.text.index(text)
        for text in ("pet-mad-s.pt", "equivariance error A", DIAGNOSIS[0]["text"],
                     "The residual is below", "Spectrum of the predictions", "Every probe",
                     "What the numbers are", "medians over the structures",
                     "Spectra, in numbers", "grid degree")
    ]  # fmt: skip
    assert places == sorted(places)
    for entry in DIAGNOSIS:
        assert entry["text"] in reader.text
    for label in ("OK", "asymmetric", "not learned", "cannot be learned", "not converged"):
        assert label in reader.words
    for name in ("equivariance.csv", "characters.csv", "summary.json"):
        assert reader.count("a", href=f"./{name}") == 1
    # said once, in the words of the summary
    assert reader.text.count("The residual is below 1 % for 23 of 24 probes.") == 1
    assert reader.words.count("not converged") == 1


def percent(value):
    return f"{float(f'{100 * value:.2g}'):g} %"


def test_cards(page):
    found = {card["target"]: card for card in verdicts(make_report())}
    assert list(found) == list(TARGETS)
    tones = [card["tone"] for card in found.values()]
    assert tones == ["good", "bad", "bad"]
    (energy,) = found["energy"]["blocks"]
    (average,) = [e for e in make_report().summary["averages"] if e["target"] == "energy"]
    assert energy["numbers"] == [
        (f"{with_error(average['A'], average['A_stderr'])} eV/atom",
         "equivariance error A"),
        (percent(average["ratio"]), "of the error (RMSE)"),
        (percent(average["asymmetric_share"]), "of the squared error is asymmetry"),
    ]  # fmt: skip
    text = Reader(page).text
    for value, what in energy["numbers"]:
        assert f"{value} {what}" in text
    # the parts of a stress, each with a status of its own
    stress = found["non_conservative_stress"]["blocks"]
    assert [(b["irrep"], b["label"]) for b in stress] == [
        ("(0,+)", "cannot be learned"), ("(2,+)", "not learned"),
    ]  # fmt: skip


def test_cards_of_little():
    report = make_report(errors=False)
    report.diagnosis = [{**DIAGNOSIS[0], "status": "of a later version"}]
    for entry in report.summary["averages"]:
        # as it comes back from JSON
        entry.update(A_stderr=None, ratio=None, asymmetric_share=None)
    (energy, *_) = verdicts(report)
    (block,) = energy["blocks"]
    assert (block["label"], block["tone"]) == ("of a later version", "neutral")
    ((value, what),) = block["numbers"]
    assert "±" not in value
    assert what == "equivariance error A, no error bar"


def test_every_quantity_is_explained(page):
    text = Reader(page).text
    for quantity in QUANTITIES:
        assert quantity.meaning in text
    assert {q.name for q in QUANTITIES} >= set(MAIN)


def test_figures_are_linked_where_they_lie(page):
    reader = Reader(page)
    for kind in ("svg", "png"):
        # the heatmap, shown as a table, too
        assert reader.count("a", href=f"./figures/spectrum.{kind}") == len(CAPTIONS)


def test_nothing_is_loaded_from_elsewhere(page):
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert not re.search(r"url\(", page)
    for tag, attributes in Reader(page).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "./").startswith("./")
    assert page.count("data:image/svg+xml;base64,") == len(CAPTIONS) - 1


def test_every_cell(page):
    reader = Reader(page)
    cells = [a for t, a in reader.tags if t == "td" and "data-irrep" in a]
    assert len(cells) == (len(LAYERS) + len(OUTPUTS)) * 19
    assert all(re.match(r"share [^B]*\nB = ", a["data-tip"]) for a in cells)
    table = make_report().characters
    below = (table["share"] <= 2 * table["stderr"]) & (table["stderr"] > 0)
    marked = [a for a in cells if "below" in a["class"]]
    assert len(marked) == below.sum() > 10
    assert all(a["data-tip"].startswith("share below ") for a in marked)
    assert all("±" in a["data-tip"] or "(exact)" in a["data-tip"] for a in cells)
    assert reader.count("span", title="not converged") == len(NOT_CONVERGED)


def test_names_are_escaped(tmp_path):
    evil = "<script>alert('x')</script>\"&"
    report = make_report(model=evil, structures=2, convergence_text=evil, created=evil)
    report.summary["settings"] = {evil: evil}
    report.equivariance["target"] = evil
    report.equivariance["unit"] = evil
    report.characters["probe"] = evil
    report.characters["group"] = evil
    report.diagnosis = [
        {
            "target": evil,
            "detail": "",
            "irrep": evil,
            "status": "missing",
            "text": evil + "text",
        }
    ]
    page = write(report, tmp_path)
    assert page.count("<script>") == 1
    reader = Reader(page)
    assert reader.count("script") == 1
    assert evil + "text" in reader.words
    assert evil in reader.words


def test_missing_pieces_are_left_out(tmp_path):
    report = make_report(structures=1, errors=False)
    report.diagnosis = []
    report.summary = {}
    report.characters = report.characters.iloc[:0]
    page = write(report, tmp_path)
    for name in (
        "diagnosis",
        "figures",
        "spectra",
        "characters",
        "convergence",
        "settings",
    ):
        assert f'id="{name}"' not in page
    text = Reader(page).text
    assert "own error" not in text
    assert "nan" not in text.lower()
    report.equivariance = report.equivariance.iloc[:0]
    page = write(report, tmp_path)
    assert 'id="diagnosis"' not in page
    assert 'id="medians"' not in page


def test_rewriting_is_atomic(tmp_path):
    for _ in range(2):
        write(make_report(structures=1), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


def browse(address, tmp_path, *flags):
    process = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, address],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process.stdout


@needs_browser
def test_the_page_lives(folder, page, tmp_path):
    """The script filters, sorts and shows a tooltip; a second script does the clicks."""
    clicks = """<script>
    const say = (name, value) => { document.body.dataset[name] = value; };
    const choice = document.getElementById("group");
    choice.value = "LLF";
    choice.dispatchEvent(new Event("change"));
    const rows = Array.from(document.querySelectorAll("#heat tbody tr"));
    say("rows", rows.length);
    say("shown", rows.filter((row) => row.offsetHeight > 0).length);
    document.querySelector("#heat td[data-irrep='(2,-)']")
      .dispatchEvent(new Event("mouseover", { bubbles: true }));
    say("tip", document.getElementById("tip").textContent);
    const head = document.querySelector("#characters th:nth-child(4)");
    const first = () => document.querySelector("#characters td:nth-child(4)").dataset.v;
    head.querySelector("button").click(); say("least", first());
    head.querySelector("button").click(); say("most", first());
    say("sort", head.getAttribute("aria-sort"));
    </script></body>"""
    (tmp_path / "clicked.html").write_text(
        page.replace("</body>", clicks), encoding="utf-8"
    )
    dom = browse((tmp_path / "clicked.html").as_uri(), tmp_path, "--dump-dom")
    body = next(a for t, a in Reader(dom).tags if t == "body")
    table = make_report().characters
    assert body["data-ready"] == "true"
    assert int(body["data-rows"]) == len(LAYERS) + len(OUTPUTS)
    assert int(body["data-shown"]) == sum(group == "LLF" for group, _ in LAYERS.values())
    assert re.match(r"gnn_layers\.0\.edge_embedder\s+\(2,-\):  share ", body["data-tip"])
    assert float(body["data-least"]) == pytest.approx(table["share"].min())
    assert float(body["data-most"]) == pytest.approx(table["share"].max())
    assert body["data-sort"] == "descending"


@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_seen(folder, tmp_path, width):
    """A frame has the width asked for: windows without a screen have a smallest one."""
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<body style='margin:0'><iframe src='{(folder / 'index.html').as_uri()}' "
        f"style='width:{width}px;height:2400px;border:0'></iframe>"
    )
    picture = tmp_path / "page.png"
    browse(
        frame.as_uri(), tmp_path, f"--screenshot={picture}",
        f"--window-size={max(width, 500)},2400", "--allow-file-access-from-files",
    )  # fmt: skip
    pixels = imread(picture)[:, :width, :3]
    assert pixels.shape[:2] == (2400, width)
    assert pixels.std() > 0.1
    # down to the end there are figures, not an empty page
    assert all(np.ptp(part) > 0.5 for part in np.array_split(pixels, 6))


@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_not_wider_than_the_screen(folder, page, tmp_path, width):
    report = """<script>
    const rest = document.documentElement;
    parent.postMessage(rest.scrollWidth + "/" + rest.clientWidth, "*");
    </script></body>"""
    (tmp_path / "inner.html").write_text(page.replace("</body>", report), encoding="utf-8")
    (tmp_path / "outer.html").write_text(
        "<body><script>onmessage = (e) => { document.body.dataset.width = e.data; };"
        f"</script><iframe src='inner.html' style='width:{width}px;border:0'></iframe>"
    )
    dom = browse((tmp_path / "outer.html").as_uri(), tmp_path, "--dump-dom")
    body = next(a for t, a in Reader(dom).tags if t == "body")
    assert body["data-width"] == f"{width}/{width}"


def test_cells_without_an_error_bar(tmp_path):
    report = make_report(structures=1)
    report.characters["stderr"] = np.nan
    cells = [a for t, a in Reader(write(report, tmp_path)).tags if "data-irrep" in a]
    assert {a["class"].split()[0] for a in cells} == {"loose"}
    assert all(", no error bar\nB" in a["data-tip"] for a in cells)


def test_the_badge_says_once_whether_spectra_are_complete(tmp_path):
    for done, text in ((True, "converged: all of it"), (False, "NOT converged: a part")):
        report = make_report(convergence_text=text, converged=done)
        words = Reader(write_page(report, tmp_path / "page.html", {}).read_text()).text
        badge, rest = text.lower().split(": ")
        assert f"Are the spectra complete? {badge} {rest.capitalize()}" in words
