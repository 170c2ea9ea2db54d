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
    "header on the image side": ("starter", ["study.header=true"]),
    "header on both sides": ("starter", ["study.header=true", "header.text=true"]),
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
    "before: 128 pixels, 4 x 4 cells, one linear layer, small BERT, heavy prompts": [
        "preprocess.size=128",
        "image.grid=4",
        "image.max_pool=false",
        "image.cell_channels=0",
        "image.batch_norm=true",
        "image.options.finer=false",
        "loss.phrases_weight=15",
        "loss.side_weight=12",
        "text.encoder=bert",
        "text.options={width: 128, depth: 2, heads: 4, vocabulary: 1500}",
        "optim.text_lr=1.5e-3",
    ],
    "heavy prompts, as before": ["loss.phrases_weight=15", "loss.side_weight=12"],
    "small BERT for n-grams": [
        "text.encoder=bert",
        "text.options={width: 128, depth: 2, heads: 4, vocabulary: 1500}",
        "optim.text_lr=1.5e-3",
    ],
    "one linear layer for the network of cells": [
        "image.cell_channels=0",
        "image.batch_norm=true",
    ],
    "stride 16 alone": ["image.options.finer=false"],
    "mean of a cell alone": ["image.max_pool=false"],
    "128 pixels, 8 x 8 cells": ["preprocess.size=128", "image.grid=8", "image.max_pool=false"],
    "no extra weight of the other side": ["loss.side_weight=0"],
    "no prompts": ["loss.phrases_weight=0"],
    "no findings loss": ["loss.findings_weight=0"],
    "no mirroring": ["image_augmentation.mirror=0"],
    "false negatives left out": ["loss.same_finding=mask"],
    "whole notes only": ["text_augmentation.sentences=0", "text_augmentation.phrases=0"],
    "negation pairs": ["loss.negation_weight=3"],
    "other findings too": ["loss.findings=all"],
    "batches of 128": ["batch_size=128"],
    "half the epochs": ["epochs=12"],
    "frozen MiniLM for n-grams": [
        "text.encoder=minilm",
        "text.options={}",
        "text.frozen=true",
    ],
}
