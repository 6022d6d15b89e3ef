"""The report of the committed records: its tables byte for byte, and the page in a real browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import pandas as pd
import pytest
from conftest import RESULTS
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait
from tiny_cli import mtl_lora

from reports.evidence.comparison import Comparison, compare
from reports.evidence.results import Results
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


def test_the_committed_tables_come_out_byte_for_byte(made: Path) -> None:
    committed = {path.name: path.read_bytes() for path in (RESULTS / "report" / "tables").iterdir()}
    again = {path.name: path.read_bytes() for path in (made / "tables").iterdir()}
    assert sorted(again) == sorted(committed)
    assert [name for name in again if again[name] != committed[name]] == []
    assert (made / "index.md").read_bytes() == (RESULTS / "report" / "index.md").read_bytes()


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
    images = browser.execute_script("return [...document.images].map(i => [i.naturalWidth, i.alt, i.src.slice(0, 5)])")
    assert len(images) > 20 and all(size > 0 and text and source == "data:" for size, text, source in images)
    # Wide tables scroll by themselves, and nothing is fetched from anywhere.
    assert browser.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(r => r.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_every_link_leads_somewhere(made: Path, browser: webdriver.Chrome) -> None:
    page = made / "index.html"
    opened(browser, page.as_uri())
    links = set(browser.execute_script("return [...document.links].map(a => a.href)"))
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
    assert row.is_displayed() and "mtl-lora run" in row.text and "torch 2." in row.text
    records = [link.get_attribute("href") for link in row.find_elements("link text", "record")]
    scores = [json.loads(Path(unquote(urlparse(link).path)).read_text())["score"] for link in records]
    assert score == pytest.approx(100 * sum(scores) / len(scores), abs=0.05)


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
