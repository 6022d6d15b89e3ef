"""``ads-hub``: larger sets of the kind of ``ads`` that the hub serves; large downloads."""

from __future__ import annotations

from benchmarks.suites.spec import Suite, Task

SUITE = Suite(
    name="ads-hub",
    summary="ESCI, WANDS and XGLUE's query-ad matching from the hub: declared from their cards, not yet measured here",
    tasks=(
        Task(
            name="esci",
            summary="is the product exact, a substitute, a complement or irrelevant to the query?",
            dataset="tasksource/esci",
            config="default",
            revision="74729e04f7fda1f10fee54d168f37554fbc69c78",
            inputs=("query", "product_title"),
            labels=("Irrelevant", "Complement", "Substitute", "Exact"),
            label_column="esci_label",
            query_column="query",
            test_split="test",
            metrics=("accuracy",),
        ),
        Task(
            name="wands",
            summary="how relevant is the product to the query, from 0 to 2?",
            dataset="napsternxg/wands",
            config="default",
            revision="16cff4fbe4b46ee0b382e7901ee62461f88a2cb1",
            inputs=("query", "product_name"),
            scale=(0.0, 2.0),
            query_column="query",
            split_by_query=True,
            test_split="test",
            metrics=("spearman", "ndcg"),
        ),
        Task(
            name="qadsm",
            summary="is the ad good for the query?",
            dataset="hgissbkh/xglue",
            config="qadsm",
            revision="de1926389545bc73d13a5b850f2596bdaf463f72",
            inputs=("query", "ad_title"),
            labels=("bad", "good"),
            label_column="relevance_label",
            test_split="test.en",
            metrics=("accuracy", "average_precision"),
        ),
    ),
    notes=(
        "Public data of the same kind: the paper's own Ads data are in-house.",
        "ESCI holds English, Spanish and Japanese queries. WANDS' published splits share queries; a fifth of them, by hash, "
        "is scored here and left out of training.",
    ),
)
