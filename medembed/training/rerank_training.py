"""Train a reranker on frozen towers, and measure on validation patients what it gains.

The towers have seen the training cases: there they are surer of themselves than on new ones. So the
reranker learns beside their similarity, and the weight of its score is chosen on validation cases.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from medembed.encoders.reranker import Reranker, matching_loss
from medembed.model.feature_cache import image_key
from medembed.model.rerank_export import reranker_files
from medembed.model.reranking import RerankerAbout
from medembed.notes import swap_laterality
from medembed.progress import Progress
from medembed.training.feature_feeders import ImageFeeder, TextFeeder
from medembed.training.learnable import diverged
from medembed.training.rerank_gain import Choice, RankTable, choose
from medembed.training.schedules import rate
from medembed.training.text_views import TextView, false_negative_mask, other_side

if TYPE_CHECKING:
    from medembed.encoders.tokenizers import Tokens
    from medembed.model.towers import Towers
    from medembed.training.cohort import TrainingCohort
    from medembed.training.settings import RerankSettings, TrainingConfig

__all__ = ["TrainedReranker", "train_reranker"]

_MOST = 300
"""Validation cases, which limits the cost: every note is read with every image."""

_BATCH = 32


@dataclass(frozen=True)
class TrainedReranker:
    """A reranker as the model folder keeps it.

    Parameters
    ----------
    files : dict of str to bytes
    remark : str
        What it gains, and whether searches use it.
    """

    files: dict[str, bytes]
    remark: str


def train_reranker(
    config: TrainingConfig,
    train: TrainingCohort,
    val: TrainingCohort,
    towers: Towers,
    tokens: Tokens,
    device: torch.device,
    progress: Progress | None = None,
    encoding: Progress | None = None,
) -> TrainedReranker:
    """Train the reranker that ``config.rerank`` describes.

    Parameters
    ----------
    config : TrainingConfig
    train, val : TrainingCohort
    towers : Towers
        With the selected weights; not changed.
    tokens : Tokens
    device : torch.device
    progress : callable, optional
        Called with (steps done, total).
    encoding : callable, optional
        Called with (images encoded, total) while features are computed that the cache lacks.

    Raises
    ------
    NothingLearnedError
        If the loss is not finite.
    """
    settings = config.rerank
    assert settings is not None  # the caller asks
    # A tuned encoder is frozen from here on: its features are kept like those of a frozen one.
    frozen = config.model_copy(update={"image": config.image.model_copy(update={"frozen": True})})
    towers = towers.to(device).eval()
    of_train = _Pairs(frozen, train, towers, tokens, device)
    of_val = _Pairs(frozen, val, towers, tokens, device)
    for pairs in (of_train, of_val):
        pairs.images.prepare(encoding)
    net = of_train.new_net(settings)
    kept, choice = _fit(settings, config.seed, net, of_train, of_val, progress)
    net.load_state_dict(kept)
    about = RerankerAbout(
        features=image_key(towers.image, config.preprocess),
        places=of_train.places,
        scale=of_train.scale,
        weight=choice.weight,
        default=choice.gains,
        settings={
            **settings.net.model_dump(),
            "image_width": of_train.image_width,
            "text_width": towers.text.token_width,
        },
        measured=choice.measured,
    )
    return TrainedReranker(reranker_files(net.cpu().eval(), about), str(choice))


def _fit(
    settings: RerankSettings,
    seed: int,
    net: Reranker,
    train: _Pairs,
    val: _Pairs,
    progress: Progress | None,
) -> tuple[dict[str, torch.Tensor], Choice]:
    """Train; return the weights of the epoch that is best on validation cases, and the choice."""
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )
    near = train.nearest(settings.candidates)
    steps = max(1, len(train.cohort) // settings.batch_size)
    table = RankTable(val.cohort.pool_labels.first(val.n), val.similarity()) if val.n > 1 else None
    states: list[dict[str, torch.Tensor]] = []
    for epoch in range(settings.epochs):
        rng = np.random.default_rng((seed, 3, epoch))
        net.train()
        for step, cases in enumerate(_batches(len(train.cohort), near, settings, steps, rng)):
            done = epoch * steps + step
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * rate("cosine", done / (settings.epochs * steps), 0.1)
            torch.manual_seed(int(rng.integers(2**62)))  # dropout
            loss = train.loss(net, cases, rng)
            if not loss.isfinite():
                raise diverged("the reranker's loss is not finite")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            if progress:
                progress(done + 1, settings.epochs * steps)
        states.append(copy.deepcopy(net.state_dict()))
        if table is not None:
            table.add(val.every_score(net))
        else:
            states = states[-1:]  # nothing to choose by: the last
    choice = choose(table)
    return states[choice.epoch], choice


def _batches(
    n: int,
    near: npt.NDArray[np.int64],
    settings: RerankSettings,
    steps: int,
    rng: np.random.Generator,
) -> Iterator[list[int]]:
    """Yield batches of cases of which most are near each other: the mismatches are hard."""
    group = 1 + min(settings.hard, near.shape[1])
    anchors = max(1, settings.batch_size // group)
    order = np.concatenate([rng.permutation(n) for _ in range(-(-anchors * steps // n))])
    for step in range(steps):
        drawn: list[int] = []
        for anchor in order[step * anchors : (step + 1) * anchors]:
            others = rng.choice(near[anchor], group - 1, replace=False) if group > 1 else ()
            drawn += [int(anchor), *map(int, others)]
        yield list(dict.fromkeys(drawn))


class _Pairs:
    """Tokens and vectors of a cohort's images and notes, of frozen towers."""

    def __init__(
        self,
        config: TrainingConfig,
        cohort: TrainingCohort,
        towers: Towers,
        tokens: Tokens,
        device: torch.device,
    ) -> None:
        self.config = config
        self.cohort = cohort
        self.towers = towers
        self.tokens = tokens
        self.device = device
        self.images = ImageFeeder(cohort, towers, config, device)
        self.texts = TextFeeder(cohort, towers, tokens, config, device, swap_laterality)
        self.scale = float(towers.logit_scale.detach().exp())
        self.n = min(len(cohort), _MOST)
        side = towers.image
        self.places = 1 if side.own else side.grid**side.dimensions
        self.image_width = side.width // self.places

    def new_net(self, settings: RerankSettings) -> Reranker:
        width = self.towers.text.token_width
        return Reranker(self.image_width, width, self.places, settings.net).to(self.device)

    def _image_tokens(self, features: torch.Tensor) -> torch.Tensor:
        """Return features ``(n, width)`` as ``(n, places, width / places)``."""
        return features.unflatten(1, (self.image_width, self.places)).transpose(1, 2)

    @torch.no_grad()
    def _words(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return unit vectors, tokens and mask."""
        ids, mask = (torch.from_numpy(part).to(self.device) for part in self.tokens(texts))
        vectors, words = self.towers.text.vectors_and_tokens(ids, mask)
        return functional.normalize(vectors, dim=-1), words, mask

    @torch.no_grad()
    def _vectors(self, features: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.towers.image.projection(features), dim=-1)

    def loss(self, net: Reranker, cases: list[int], rng: np.random.Generator) -> torch.Tensor:
        """Return the loss of a batch: images, one of each case, against views of the notes."""
        augmentation = self.config.image_augmentation
        odds = augmentation.mirror if self.config.preprocess.dimensions == 2 else 0.0
        mirror = (rng.random(len(cases)) < odds) & self.texts.can_mirror(cases)
        rows = np.array([rng.choice(self.cohort.rows[case]) for case in cases])
        features = self.images.tensor(rows, mirror)
        views = self.texts.draw(cases, mirror, rng)
        vectors, words, mask = self._words([view.text for view in views])
        scores = net(self._image_tokens(features), words, mask)
        scores = scores + self.scale * (self._vectors(features) @ vectors.T)
        return matching_loss(scores, self._undecided(cases, mirror, views).to(self.device))

    def _undecided(
        self, cases: list[int], mirror: npt.NDArray[np.bool_], views: Sequence[TextView]
    ) -> torch.Tensor:
        """Return which pairs are true as well, or of one patient, who is not judged."""
        present = [
            frozenset(map(other_side, self.cohort.reports[case].present))
            if flip
            else self.cohort.reports[case].present
            for case, flip in zip(cases, mirror.tolist(), strict=True)
        ]
        owners = self.cohort.pool_labels.owners[cases]
        same = false_negative_mask(views, present) | (owners[:, None] == owners[None, :])
        return torch.from_numpy(same)

    def nearest(self, count: int) -> npt.NDArray[np.int64]:
        """Return for each case others whose pairs the towers find most alike, ``(n, count)``."""
        images = self._units(range(len(self.cohort)))
        notes = self._notes(range(len(self.cohort)))
        owners = torch.from_numpy(self.cohort.pool_labels.owners)
        count = max(0, min(count, len(self.cohort) - 1))
        found = []
        for at in range(0, len(images), 256):
            part = slice(at, at + 256)
            likeness = images[part] @ notes.T + notes[part] @ images.T
            own = owners[part, None] == owners[None, :]
            likeness = likeness.masked_fill(own.to(likeness.device), -9.0)
            found.append(likeness.topk(count, dim=1).indices.cpu().numpy())
        return np.concatenate(found)

    def similarity(self) -> npt.NDArray[np.float64]:
        """Return the scaled similarities ``(images, notes)`` of the first cases."""
        cases = range(self.n)
        table = self.scale * (self._units(cases) @ self._notes(cases).T)
        out: npt.NDArray[np.float64] = table.double().cpu().numpy()
        return out

    def _units(self, cases: Sequence[int]) -> torch.Tensor:
        """Return the image vector of each case: the mean over its images, as in a search."""
        units = [self._vectors(self.images.tensor(self.cohort.rows[case])) for case in cases]
        return torch.stack([functional.normalize(each.mean(0), dim=-1) for each in units])

    def _notes(self, cases: Sequence[int]) -> torch.Tensor:
        texts = [self.cohort.reports[case].full.text for case in cases]
        parts = [texts[at : at + _BATCH] for at in range(0, len(texts), _BATCH)]
        return torch.cat([self._words(part)[0] for part in parts])

    @torch.no_grad()
    def every_score(self, net: Reranker) -> npt.NDArray[np.float64]:
        """Return the reranker's scores ``(images, notes)`` of the first cases."""
        net.eval()
        rows = [self.cohort.rows[case][:1] for case in range(self.n)]
        images = self._image_tokens(self.images.tensor(np.concatenate(rows)))
        texts = [self.cohort.reports[case].full.text for case in range(self.n)]
        columns = []
        for at in range(0, self.n, _BATCH):
            _, words, mask = self._words(texts[at : at + _BATCH])
            parts = [net(images[i : i + _BATCH], words, mask) for i in range(0, self.n, _BATCH)]
            columns.append(torch.cat(parts))
        out: npt.NDArray[np.float64] = torch.cat(columns, dim=1).double().cpu().numpy()
        return out
