"""Whose data a task is made of: licence and citation of every data set, as their publishers state them."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.suites.spec import Task


class Credit(NamedTuple):
    """licence: in a few words; of what is read here, a copy's where a copy is read. citation: whom to cite."""

    licence: str
    citation: str


KAGGLE = "terms of its Kaggle competition"
MATCHING = Credit("Apache-2.0 copy in megagonlabs/ditto", "Mudgal et al., SIGMOD 2018 (ER-Magellan sets)")
CREDITS = {
    "world": Credit("Apache-2.0, generated here", "this suite"),
    "nyu-mll/glue": Credit("each task's own, research use", "Wang et al., 2018, arXiv 1804.07461, and each task's paper"),
    "AGI-Edgerunners/LLM-Adapters": Credit(
        "Apache-2.0 for the repository; each set keeps its own",
        "Hu et al., 2023, arXiv 2304.01933, and each set's own paper",
    ),
    "ads-relevance/home_depot": Credit(KAGGLE, "Home Depot Product Search Relevance, Kaggle, 2016"),
    "ads-relevance/crowdflower": Credit(KAGGLE, "CrowdFlower Search Results Relevance, Kaggle, 2015"),
    "ads-relevance/amazon_google": MATCHING,
    "ads-relevance/walmart_amazon": MATCHING,
    "ads-relevance/abt_buy": MATCHING,
    "ads-relevance/query_wellformedness": Credit("CC BY-SA 4.0", "Faruqui and Das, 2018, arXiv 1808.09419"),
    "tasksource/esci": Credit("Apache-2.0", "Reddy et al., 2022, arXiv 2206.06588"),
    "napsternxg/wands": Credit("MIT", "Chen et al., ECIR 2022 (WANDS)"),
    "hgissbkh/xglue": Credit("of XGLUE, non-commercial research", "Liang et al., 2020, arXiv 2004.01401"),
    "image-text/daquar": Credit("terms of NYU Depth v2 for the photos", "Malinowski and Fritz, 2014, arXiv 1410.0210"),
    "image-text/easy_vqa": Credit("MIT", "Zhou, easy-VQA, 2019"),
    "image-text/shapes": Credit("BSD-2 copy in ronghanghu/n2nmn", "Andreas et al., 2016, arXiv 1511.02799"),
    "image-text/nlvr": Credit("CC BY 4.0", "Suhr et al., ACL 2017"),
    "image-text/flickr8k_1000": Credit("research use", "Hodosh et al., JAIR 2013"),
    "Multimodal-Fatima/VQAv2_{split}": Credit("CC BY 4.0; photos: COCO's terms", "Goyal et al., 2017, arXiv 1612.00837"),
    "lmms-lab/GQA": Credit("CC BY 4.0; photos: Visual Genome's", "Hudson and Manning, 2019, arXiv 1902.09506"),
    "pingzhili/nlvr2": Credit("CC BY 4.0 for the sentences", "Suhr et al., 2019, arXiv 1811.00491"),
    "Multimodal-Fatima/COCO_captions_{split}": Credit(
        "CC BY 4.0; photos: COCO's terms", "Chen et al., 2015, arXiv 1504.00325"
    ),
}


def credit_of(task: Task) -> Credit | None:
    """The credit of a task's data set; None where it is not one of this project's."""
    return CREDITS.get(f"{task.dataset}/{task.config}", CREDITS.get(task.dataset))
