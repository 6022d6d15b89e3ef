"""What the revisions that presets name hold, so that other weights under the same name are found out in a mirror.

The hashes are of ``benchmarks.sources.model_folder.identity``. MiniLM's weights are the hub's at that commit; what a preset
names by a hash alone is on no hub, or not known to be the same there. SmolLM2's are too.
LLaMA, BART and CLIP could not be hashed: no pin.
"""

from __future__ import annotations

PINNED: dict[tuple[str, str | None], dict[str, str]] = {
    ("world-encoder", "sha256:2f176bbc702bf285cec450fb80ae9df503512e96770b034b4d3ec39d3a0f2f69"): {
        "config_sha256": "4381b0f333ffef11c47629e7df0ed2576f617c43f5b742f241b8047fe91b82c9",
        "tokenizer_sha256": "84d2dd496a7396ba4eb52e4ec01f79a6de31a0b347ddc99f6587970588d4e2ad",
    },
    ("sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"): {
        "weights_sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "config_sha256": "71fb7bfd9bfd962bfa5b0dc42f9f8c941e140cd218382afa053a223d8a74754f",
        "tokenizer_sha256": "ba47c66904c21b66ef1a44ce3e8585988bbcc2478ceafb969d6686282c370ebc",
    },
    ("HuggingFaceTB/SmolLM2-135M-Instruct", "12fd25f77366fa6b3b4b768ec3050bf629380bac"): {
        "weights_sha256": "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
    },
    ("tinystories/stories3m", "sha256:3dd5f8b7c1b884d96383d0a6725a2b355cd92b0710cd2981f3972ac38b1fe39e"): {
        "config_sha256": "cbecc1bf0a7e9f0d991bc37d59b2d233b5a42d7ba1a731ebea8f48daa8a247d3",
        "tokenizer_sha256": "4ae462b050f94b9f64fc6199513be4661c513fe8ecf3dd302a239bde85a37ea3",
    },
    ("WinKawaks/vit-tiny-patch16-224", "sha256:e38e9a739c27dfdd9473fc1ee189c2c9ed4eb7ca2c0d07cf341f800b627bb9e8"): {
        "config_sha256": "4660bb2966d65d9bf68c160e3282fc1b8a6c0905bc5c66216eb09567f4e8d314",
    },
}
