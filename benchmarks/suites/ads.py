"""``ads``: search and offer relevance on public data. The paper's own Ads data are in-house and cannot be had.

No hub repository has all of it. Its data set is a folder ``datasets/ads-relevance`` of the mirror, with a parquet file for
each split of each configuration and a card that lists them:

- home_depot (Kaggle, Home Depot Product Search Relevance): query, title, relevance from 1 to 3; train, test
- crowdflower (Kaggle, CrowdFlower Search Results Relevance): query, title, relevance from 1 to 4; train, test
- amazon_google, walmart_amazon, abt_buy (ER-Magellan, in the form of megagonlabs/ditto): left, right, label; train, test
- query_wellformedness (google-research-datasets/query-wellformedness): content, rating from 0 to 1; train, test

Test queries shall not occur in train; where they do, the training rows are left out.
"""

from __future__ import annotations

from functools import partial

from benchmarks.suites.spec import Suite, Task

GATHERED = partial(Task, dataset="ads-relevance", revision="", test_split="test")
QUERY = partial(GATHERED, inputs=("query", "title"), label_column="relevance", query_column="query")
OFFERS = partial(
    GATHERED,
    summary="do two offers sell the same product?",
    inputs=("left", "right"),
    labels=("no", "yes"),
    balanced=True,
    metrics=("f1", "average_precision"),
)

SUITE = Suite(
    name="ads",
    summary="relevance of offers to queries, matching of offers, quality of queries: public stand-ins for ads relevance",
    tasks=(
        QUERY(
            name="home_depot",
            summary="how relevant is the product to the query, from 1 to 3?",
            config="home_depot",
            scale=(1.0, 3.0),
            metrics=("spearman", "ndcg"),
        ),
        QUERY(
            name="crowdflower",
            summary="how relevant is the product to the query, from 1 to 4?",
            config="crowdflower",
            scale=(1.0, 4.0),
            metrics=("quadratic_kappa", "ndcg"),
        ),
        OFFERS(name="amazon_google", config="amazon_google"),
        OFFERS(name="walmart_amazon", config="walmart_amazon"),
        OFFERS(name="abt_buy", config="abt_buy"),
        GATHERED(
            name="wellformed",
            summary="how well formed is the query, from 0 to 1?",
            config="query_wellformedness",
            inputs=("content",),
            label_column="rating",
            metrics=("spearman", "pearson"),
        ),
    ),
    texts="apart",  # joint reading learnt less from as many rows: all-MiniLM is trained to compare texts
    notes=(
        "Public data of the same kind: the paper's own Ads data are in-house.",
        "No query that is scored occurs in training (home_depot, crowdflower). NDCG ranks the rows of a query by the "
        "predicted grade, gains counted from the lowest grade; quadratic kappa rounds it. Offers are mostly no matches: "
        "training rows are weighted so that both classes count alike, for every method.",
    ),
)
