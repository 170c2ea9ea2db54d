"""The rungs of the ladder: named configurations and what is changed in them."""

from __future__ import annotations

__all__ = ["COHORT", "RUNGS", "WAYS"]

RUNGS: dict[str, tuple[str, list[str]]] = {
    "starter, batches of 32 (before)": ("starter", ["batch_size=32", "patience=0"]),
    "starter": ("starter", []),
    "whole notes only": ("ladder-linear", []),
    "MLP": ("ladder-mlp", []),
    "SigLIP": ("ladder-siglip", []),
    "STRUCTURE": ("ladder-structure", []),
    "STRUCTURE, layer by mutual k-NN": ("ladder-layer", []),
    "soft targets": ("ladder-soft", []),
    "label prompts": ("ladder-labels", []),
    "negation pairs": ("ladder-negation", []),
    "five seeds": ("ladder-seeds", []),
    "ridge": ("ladder-ridge", []),
    "CCA": ("ladder-cca", []),
    "CSA": ("ladder-csa", []),
    "CSA, several texts": ("few-pairs", ["heads=[{method: csa, dim: 128}]"]),
    "CSA + words": (
        "few-pairs",
        ["heads=[{method: csa, dim: 128}, {method: csa, text: words, dim: 128}]"],
    ),
    "few-pairs": ("few-pairs", []),
    "CCA, several texts": ("few-pairs", ["heads=[{method: cca, dim: 128}]"]),
    "CCA + CSA": ("few-pairs", ["heads=[{method: cca, dim: 128}, {method: csa, dim: 128}]"]),
    "CCA + CSA, one text": (
        "ladder-cca",
        ["heads=[{method: cca, dim: 128}, {method: csa, dim: 128}]"],
    ),
    "CCA + CSA + words": (
        "few-pairs",
        [
            "heads=[{method: cca, dim: 128}, {method: csa, dim: 128}, "
            "{method: csa, text: words, dim: 128}]"
        ],
    ),
    "CCA + words, one text": (
        "ladder-cca",
        ["heads=[{method: cca, dim: 128}, {method: cca, text: words, dim: 128}]"],
    ),
    "CSA + words, one text": (
        "ladder-csa",
        ["heads=[{method: csa, dim: 128}, {method: csa, text: words, dim: 128}]"],
    ),
    "CCA + three seeds": ("few-pairs", ["heads=[{method: cca, dim: 128}, {seeds: 3}]"]),
    "CCA + CSA + three seeds": (
        "few-pairs",
        ["heads=[{method: cca, dim: 128}, {method: csa, dim: 128}, {seeds: 3}]"],
    ),
    "header in the text": ("starter", ["header.text=true"]),
    "header in the text and as labels": ("ladder-labels", ["header={text: true, labels: true}"]),
    "CSA, header in the text": ("ladder-csa", ["header.text=true"]),
    "few-pairs, header in the text": ("few-pairs", ["header.text=true"]),
    "LoRA": ("ladder-lora", []),
}
WAYS: dict[str, tuple[str, list[str]]] = {
    "raw features, average": ("labels", ["image.pooling=average", "image.options.stride=32"]),
    "labels": ("labels", []),
    "labels, closed form": (
        "labels",
        ["heads=[{method: csa, text: words, dim: 16}, {method: csa, dim: 16}]"],
    ),
    "labels, fused": (
        "labels",
        ["heads=[{seeds: 3, dim: 128}, {method: csa, text: words, dim: 16}]"],
    ),
}
COHORT: dict[str, list[str]] = {
    "demo": [],
    "no mirroring": ["image_augmentation.mirror=0"],
    "no prompts": ["loss.phrases_weight=0"],
    "no findings loss": ["loss.findings_weight=0"],
    "no extra weight of the other side": ["loss.side_weight=0"],
    "false negatives left out": ["loss.same_finding=mask"],
    "whole notes only": ["text_augmentation.sentences=0", "text_augmentation.phrases=0"],
    "average pooling": ["image.pooling=average"],
    "unscaled features": ["image.batch_norm=false"],
    "maximum beside mean": ["image.max_pool=true"],
    "224 pixels": ["preprocess.size=224"],
    "batches of 128": ["batch_size=128"],
    "negation pairs": ["loss.negation_weight=3"],
    "40 epochs": ["epochs=40"],
}
