"""Write a tiny sentencepiece model as SigLIP has one, and the ids of transformers' SiglipTokenizer.

Run once with the package sentencepiece on the path::

    PYTHONPATH=SENTENCEPIECE python tests/encoders/golden/make_siglip_tokenizer.py
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent / "siglip"
WORDS = (
    "no pleural effusion large right left apical nodule stable cardiomegaly the lungs are clear "
    "there is pneumothorax or consolidation heart size is normal adjacent atelectasis moderate "
    "bilateral basal opacity mm cm 1 2 3 4 5 6 7 8 9 0 été ünïcode"
)
TEXTS = [
    "No pleural effusion.",
    "Large RIGHT pleural effusion,  with\nadjacent atelectasis (3.5 cm). ",
    "x",
    "  ...  ",
    "été Ünïcode&c.",
    "ﬁ ½ nodule™ ①",
    " lead\ta\u00a0b",
    "un-known; «q» \u200b zz Ⅷ İstanbul ΑΣ ▁ under",
    "the lungs are clear " * 20,
]


def main() -> None:
    """Write ``siglip/spiece.model.gz`` and ``siglip/ids.json``."""
    import sentencepiece
    from transformers import SiglipTokenizer

    random.seed(0)
    sentences = [" ".join(random.choices(WORDS.split(), k=12)) for _ in range(2000)]
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_prefix=f"{scratch}/spiece", vocab_size=120,
            model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
            normalization_rule_name="nmt_nfkc", hard_vocab_limit=False, minloglevel=2,
        )  # fmt: skip
        model = Path(scratch) / "spiece.model"
        tokenizer = SiglipTokenizer(str(model))
        ids = [tokenizer(text, truncation=True).input_ids for text in TEXTS]
        (HERE / "spiece.model.gz").write_bytes(gzip.compress(model.read_bytes(), 9, mtime=0))
    origin = (
        f"transformers {version('transformers')}, sentencepiece {version('sentencepiece')}: "
        "SiglipTokenizer of make_siglip_tokenizer.py"
    )
    golden = {"origin": origin, "texts": TEXTS, "ids": ids}
    (HERE / "ids.json").write_text(json.dumps(golden, indent=None) + "\n")


if __name__ == "__main__":
    main()
