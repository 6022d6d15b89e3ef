"""The report of the committed records byte for byte, the page in a real browser, and the short form in a terminal."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import pandas as pd
import pytest
from scipy import stats
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait
from tiny_cli import mtl_lora
from tiny_study import RESULTS, study

from benchmarks.records.schema import Failure, FailureRecord, to_json
from benchmarks.records.store import RunStore
from reports.evidence.comparison import Comparison, compare
from reports.evidence.results import Results
from reports.tables.footnotes import notes
from reports.tables.glossary import GLOSSARY
from reports.tables.published import published_table, verdict
from reports.tables.table import Table, Text

PHONE, DESK = 400, 1200


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the committed records, made anew beside copies of them."""
    folder = tmp_path_factory.mktemp("results")
    for path in RESULTS.iterdir():
        if path.name != "report":
            (folder / path.name).symlink_to(path)
    assert mtl_lora("report", "--results", folder) == 0
    return folder / "report"


def test_the_committed_report_comes_out_byte_for_byte(made: Path) -> None:
    committed, again = (
        {p.relative_to(f).as_posix(): p for p in f.rglob("*") if p.is_file()} for f in (RESULTS / "report", made)
    )
    assert sorted(again) == sorted(committed)
    assert [
        name for name in again if name != "manifest.json" and again[name].read_bytes() != committed[name].read_bytes()
    ] == []


def test_the_report_is_light(made: Path) -> None:
    assert (made / "index.html").stat().st_size < 2_000_000
    assert (made / "index.md").stat().st_size < 60_000


def test_runs_that_diverged_are_counted() -> None:
    records = [r for r in Results(RESULTS / "quick").records if r.config.conflict == 1 and r.config.budget == 93_000]
    lost = next(r for r in records if (r.config.method.label, r.config.seed) == ("lora", 1))
    failure = FailureRecord(
        status="diverged",
        id=lost.id,
        config=lost.config,
        failure=Failure(3, (None,), "the loss became nan"),
        execution=lost.execution,
        environment=lost.environment,
        created=lost.created,
    )
    comparison = compare([record for record in records if record is not lost], [failure])[0]
    sentence = "lora at 93,000: 1 of 3 seeds diverged; its numbers are of the others alone."
    assert comparison.unfinished == [sentence]
    assert sentence in notes(comparison, comparison.at(93_000))
    assert not compare(records)[0].unfinished


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium without a window. Tests that need it skip without it, unless MTL_LORA_REQUIRE_BROWSER is set."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        reason = "no chromium and chromedriver"
        if os.environ.get("MTL_LORA_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def opened(browser: webdriver.Chrome, address: str) -> None:
    """The page in the browser, read to its end."""
    browser.get("about:blank")
    browser.get(address)
    WebDriverWait(browser, 60).until(lambda b: b.execute_script("return document.readyState") == "complete")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_opens_from_disk_without_complaint(made: Path, browser: webdriver.Chrome, width: int) -> None:
    browser.set_window_size(width, 900)
    opened(browser, (made / "index.html").as_uri())
    assert browser.get_log("browser") == []
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('figure')].map(f => [f.querySelectorAll('svg path').length,"
        " f.querySelector('[role=img]').getAttribute('aria-label'), f.querySelector('figcaption').textContent])"
    )
    assert len(drawn) > 20 and all(paths > 0 and len(alt) > 40 and len(caption) > 40 for paths, alt, caption in drawn)
    # Wide tables scroll by themselves, and nothing is fetched from anywhere.
    assert browser.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(r => r.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []
    assert browser.execute_script("return new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size") == len(
        browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    )


def test_the_first_screen_answers(made: Path, browser: webdriver.Chrome) -> None:
    """Question, answers and the forest plot without scrolling far; the plot says in words who won where."""
    browser.set_window_size(DESK, 1000)
    opened(browser, (made / "index.html").as_uri())
    forest = browser.find_element("id", "forest")
    assert forest.location["y"] < 500 and forest.location["y"] + forest.size["height"] < 1100
    assert len(browser.find_elements("css selector", ".claims li")) >= 3
    alt = forest.find_element("css selector", "[role=img]").get_attribute("aria-label")
    assert "mtl-lora against plain LoRA is " in alt and "dora against plain LoRA is " in alt


def test_every_link_leads_somewhere(made: Path, browser: webdriver.Chrome) -> None:
    page = made / "index.html"
    opened(browser, page.as_uri())
    links = set(browser.execute_script("return [...document.querySelectorAll('a')].map(a => a.href)"))
    places = set(browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)"))
    assert len(links) > 500
    for link in links:
        address = urlparse(link)
        if address.scheme == "file":
            target = Path(unquote(address.path))
            assert target.exists(), link
            assert target != page or address.fragment in places, link
        else:
            assert link == "https://arxiv.org/abs/2410.09437"


def test_any_number_leads_to_its_runs(made: Path, browser: webdriver.Chrome) -> None:
    browser.set_window_size(DESK, 900)
    opened(browser, (made / "index.html").as_uri())
    number = browser.find_element("css selector", "#summary td a")
    score = float(number.text.split()[0])
    browser.get(number.get_attribute("href"))
    row = browser.find_element("css selector", "tr:target")
    assert row.is_displayed()  # what it was folded into is open
    maker = row.find_element("xpath", "ancestor::details/ol/li[1]")
    assert "mtl-lora run" in maker.text and "torch 2." in maker.text
    records = [link.get_attribute("href") for link in row.find_elements("link text", "record")]
    scores = [json.loads(Path(unquote(urlparse(link).path)).read_text())["score"] for link in records]
    assert score == pytest.approx(100 * sum(scores) / len(scores), abs=0.05)


def test_tables_sort_by_a_click_and_by_a_key(made: Path, browser: webdriver.Chrome) -> None:
    browser.set_window_size(DESK, 900)
    opened(browser, (made / "index.html").as_uri())
    table = browser.find_element("css selector", "#every-setting table")
    column = [head.text.rstrip("⇅") for head in table.find_elements("css selector", "thead th")].index("mtl-lora")

    def scores() -> list[float]:
        return [
            float(row.find_elements("xpath", "*")[column].text.split()[0])
            for row in table.find_elements("css selector", "tbody tr")
        ]

    head = table.find_elements("css selector", "thead th")[column]
    before = scores()
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", head)
    head.click()
    assert scores() == sorted(before) != before and head.get_attribute("aria-sort") == "ascending"
    head.find_element("css selector", "button").send_keys("\ue007")  # Enter
    assert scores() == sorted(before, reverse=True) and head.get_attribute("aria-sort") == "descending"


def test_tables_show_only_a_method_or_a_task(made: Path, browser: webdriver.Chrome) -> None:
    opened(browser, (made / "index.html").as_uri())
    table = browser.find_element("css selector", "#nlu table")
    field = table.find_element("xpath", "../preceding-sibling::label[1]/input")
    field.send_keys("rte")
    rows = [row.text.split()[0] for row in table.find_elements("css selector", "tbody tr") if row.is_displayed()]
    assert rows == ["rte"]
    field.clear()
    field.send_keys("mtl-lora")
    heads = [head.text.rstrip("⇅") for head in table.find_elements("css selector", "thead th") if head.is_displayed()]
    assert heads == ["task", "mtl-lora"]
    assert len([row for row in table.find_elements("css selector", "tbody tr") if row.is_displayed()]) > 8


def test_a_term_says_what_it_means(made: Path, browser: webdriver.Chrome) -> None:
    opened(browser, (made / "index.html").as_uri())
    terms = browser.execute_script("return [...document.querySelectorAll('a.term')].map(a => [a.textContent, a.title])")
    assert len({name for name, _ in terms}) > 15 and all(title == GLOSSARY[name] for name, title in terms)


def test_what_is_folded_opens_and_is_printed(made: Path, browser: webdriver.Chrome) -> None:
    opened(browser, (made / "index.html").as_uri())
    folded = browser.find_element("css selector", "#nlu details")
    assert folded.get_attribute("open") is None
    folded.find_element("css selector", "summary").send_keys("\ue007")
    assert folded.get_attribute("open") is not None
    browser.execute_script(
        "addEventListener('beforeprint', () => { printed = document.querySelectorAll('details:not([open])').length; })"
    )
    browser.execute_cdp_cmd("Page.printToPDF", {})
    assert browser.execute_script("return printed") == 0
    assert browser.execute_script("return document.querySelectorAll('details:not([open])').length") > 10


HOSTILE = "mtl-lora:=x|<i>a</i>`$1%&"


def test_what_records_say_is_text_everywhere(tmp_path: Path, browser: webdriver.Chrome) -> None:
    study(tmp_path, {"lora": {0: 0.5, 1: 0.6}, "mtl-lora": {0: 0.6, 1: 0.7}})
    store = RunStore(tmp_path)
    for record in [record for record in store.finished() if record.config.method.name == "mtl-lora"]:
        config = replace(record.config, method=replace(record.config.method, label=HOSTILE))
        store.record_path(config.id).write_text(to_json(replace(record, id=config.id, config=config)))
        store.predictions_path(record.id).rename(store.predictions_path(config.id))
        store.record_path(record.id).unlink()
    assert mtl_lora("report", "--results", tmp_path) == 0
    opened(browser, (tmp_path / "report" / "index.html").as_uri())
    assert browser.find_elements("css selector", "i") == [] and browser.get_log("browser") == []
    assert HOSTILE in browser.find_element("css selector", "#commonsense thead").text
    assert "<i>" not in (tmp_path / "report" / "index.md").read_text().replace("\\<", "")


def test_the_same_settings_of_another_folder_stand_beside(tmp_path: Path) -> None:
    study(tmp_path / "mine", {"lora": {0: 0.5, 1: 0.6}, "dora": {0: 0.5, 1: 0.6}})
    study(tmp_path / "theirs", {"lora": {2: 0.7, 3: 0.8}, "dora": {0: 0.5, 1: 0.6}})
    assert mtl_lora("report", "--results", tmp_path / "mine", "--with", tmp_path / "theirs") == 0
    rows = pd.read_csv(tmp_path / "mine" / "report" / "tables" / "beside-1.csv").set_index("method")
    assert (rows.loc["lora", "here"].split()[0], rows.loc["lora", "there"].split()[0]) == ("55.0", "75.0")
    half = stats.ttest_ind([50, 60], [70, 80], equal_var=False).confidence_interval().high + 20
    assert rows.loc["lora", "here less there"] == f"-20.0 ± {half:.1f}"
    assert rows.loc["dora", "here less there"] == "the same runs"
    assert mtl_lora("report", "--results", tmp_path / "mine", "--with", tmp_path / "nothing") == 2


def test_two_methods_in_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    study(tmp_path, {"lora": {0: 0.5, 1: 0.51, 2: 0.52}, "dora": {0: 0.7, 1: 0.71, 2: 0.72}, "heads-only": {0: 0.3}})
    assert mtl_lora("compare", "dora", "lora", "--results", tmp_path) == 0
    assert " better " in capsys.readouterr().out
    assert mtl_lora("compare", "lora", "dora", "--results", tmp_path, "--suite", "commonsense") == 0
    assert " worse " in capsys.readouterr().out
    assert mtl_lora("report", "--results", tmp_path, "--suite", "commonsense", "--protocol", "matched") == 0
    assert "dora better in 1 of 1" in capsys.readouterr().out and not (tmp_path / "report").exists()
    for bad, message in {
        ("compare", "dora", "blora"): "unknown method 'blora'; known: lora, dora, heads-only",
        ("compare", "dora", "dora"): "dora and dora have no seed in common anywhere, or are the same or both references",
        ("report", "--suite", "nlu"): "unknown suite 'nlu'; known: commonsense",
        ("report", "--protocol", "tuned"): "unknown protocol 'tuned'; known: matched",
    }.items():
        assert mtl_lora(*bad, "--results", tmp_path) == 2
        assert capsys.readouterr().err == f"mtl-lora: {message}\n"


def test_two_methods_need_no_answers_of_others(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    study(tmp_path, {"lora": {0: 0.5, 1: 0.51}, "dora": {0: 0.7, 1: 0.71}})
    (tmp_path / "other" / "runs").mkdir(parents=True)
    shutil.copy(next(RESULTS.glob("quick/runs/*.json")), tmp_path / "other" / "runs")  # without its predictions
    assert mtl_lora("compare", "dora", "lora", "--results", tmp_path) == 0
    assert capsys.readouterr().err == ""
    assert mtl_lora("report", "--results", tmp_path) == 0
    assert "predictions.parquet is missing" in capsys.readouterr().err


@pytest.fixture(scope="module")
def commonsense() -> Comparison:
    own = [c for c in compare(Results(RESULTS).records) if c.config.suite == "commonsense"]
    return max(own, key=lambda comparison: len(comparison.entries))


def published_row(**changes: str) -> pd.DataFrame:
    row = {"suite": "commonsense", "model": "LLaMA2-7B", "method": "lora", "rank": "16", "parameters": "", "task": "boolq"}
    row |= {"metric": "accuracy", "value": "60", "source": "a paper", "hand": "first", "note": ""}
    return pd.DataFrame([row | changes])


def judged(comparison: Comparison, **changes: str) -> str:
    rows = published_row(**changes)
    return verdict(rows.iloc[0].to_dict(), rows, [comparison])


def test_a_verdict_is_given_only_where_everything_matches(commonsense: Comparison) -> None:
    backbone = replace(commonsense.config.backbone, id="meta-llama/Llama-2-7b-hf")
    uncut = replace(commonsense.config, max_train=None, max_eval=None, backbone=backbone)
    records = tuple(replace(r, source="hub") for r in commonsense.records)
    whole = replace(commonsense, config=uncut, records=records)
    lora = next(e for e in whole.entries if e.label == "lora")
    cell = lora.tasks["boolq"]
    assert judged(whole, value=f"{cell.mean + 0.9 * cell.interval:.4f}") == f"agrees on boolq (lora, rank {lora.rank})"
    assert judged(whole, value=f"{cell.mean + 1.1 * cell.interval:.4f}") == f"differs on boolq (lora, rank {lora.rank})"
    for other in ({"metric": "f1"}, {"metric": ""}, {"task": "mean"}):
        assert judged(whole, **other) == "not comparable: other tasks or metrics"
    assert judged(whole, rank="") == "not comparable: the source states no rank"
    alone = replace(lora, by_seed={0: lora.by_seed[0]})
    assert judged(replace(whole, entries=(alone,))) == "not comparable: measured with 1 seed"
    assert judged(whole, rank="99").startswith("not comparable: rank 99, measured at")
    assert judged(whole, method="prefix") == "not comparable: the method was not measured"
    assert judged(whole, value="") == "not available"
    assert judged(whole, model="LLaMA-7B") == "not comparable: another backbone than meta-llama/Llama-2-7b-hf"
    assert judged(commonsense).startswith("not comparable: another backbone than sentence-transformers")
    cut = replace(whole, config=replace(whole.config, max_train=250))
    assert judged(cut) == "not comparable: measured on fewer rows"


def test_cells_of_the_paper_are_listed_as_not_available_until_filled() -> None:
    published = Results(RESULTS).published
    for suite in ("nlu", "commonsense", "image-text"):
        table = published_table(suite, published, [], "t")
        own = [row for row in table.rows if row[-1].startswith("MTL-LoRA, arXiv")]
        assert len(own) == 5 and all(row[2] == "not available" and "n/a" in row for row in own)
    place = (published["suite"] == "nlu") & (published["method"] == "mtl-lora") & (published["task"] == "cola")
    place &= published["source"].str.startswith("MTL-LoRA, arXiv")
    filled = published.copy()
    filled.loc[place, "value"] = "12.34"
    table = published_table("nlu", filled, [], "t")
    (row,) = [row for row in table.rows if "12.34" in row]
    assert row[list(table.header).index("cola")] == "12.34" and row[2] == "not comparable: this suite was not measured"
    assert published_table("quick", published, [], "t") is None


def test_every_published_number_is_shown() -> None:
    published = Results(RESULTS).published
    assert {"nlu", "commonsense", "image-text", "other"} == set(published["suite"])
    for suite in set(published["suite"]):
        table = published_table(suite, published, [], "t")
        shown = {str(cell) for row in table.rows for cell in row}
        values = [v for v in published[published["suite"] == suite]["value"] if v]
        assert all(any(v in cell.replace(",", " ").split() for cell in shown) for v in values)
        assert set(published[published["suite"] == suite]["task"]) <= set(table.header)


def test_a_table_in_every_form() -> None:
    table = Table("t", "A title", ["task", "a_b"], [["x|y", Text("1.0 ± 0.2", bold=True)], ["50%", "2"]], ["a note"])
    assert table.csv() == "task,a_b\nx|y,1.0 ± 0.2\n50%,2\n"
    assert "**1.0 ± 0.2**" in table.markdown() and r"x\|y" in table.markdown() and "- a note" in table.markdown()
    assert r"\textbf{1.0 $\pm$ 0.2}" in table.latex() and r"a\_b" in table.latex() and r"50\%" in table.latex()
    assert "**" not in table.plain()


@pytest.mark.slow
def test_two_thousand_records_of_many_settings(tmp_path: Path) -> None:
    """Every pair of 250 settings is tested; the page stays one that a browser opens."""
    labels = ["lora", *(f"mtl-lora:temperature={i / 1000:g}" for i in range(1, 250))]
    study(tmp_path, {label: dict.fromkeys(range(8), 0.5 + i % 5 / 100) for i, label in enumerate(labels)})
    start = time.process_time()
    assert mtl_lora("report", "--results", tmp_path) == 0
    assert time.process_time() - start < 60
    assert (tmp_path / "report" / "index.html").stat().st_size < 10_000_000
    (pairs,) = (tmp_path / "report" / "tables").glob("*-pairs.csv")
    assert len(pd.read_csv(pairs)) == 250 * 249 / 2
