"""The reranker sees which word belongs to which place, and is silent before it is trained."""

from __future__ import annotations

import pytest
import torch

from medembed.encoders.reranker import Reranker, RerankerSettings, matching_loss


def built(places: int = 4, seed: int = 0, **settings: object) -> Reranker:
    torch.manual_seed(seed)
    return Reranker(6, 8, places, RerankerSettings(width=16, heads=2, dropout=0.0, **settings))


def tokens(n: int, count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, count, width, generator=torch.Generator().manual_seed(seed))


def test_it_changes_nothing_before_training():
    scores = built()(tokens(5, 4, 6), tokens(5, 3, 8), torch.ones(5, 3))
    assert torch.equal(scores, torch.zeros(5))


def test_padding_of_a_note_is_not_read():
    net = built().eval()
    torch.nn.init.normal_(net.score.weight)
    image, note = tokens(2, 4, 6), tokens(2, 5, 8)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 2)
    other = note.clone()
    other[:, 3:] = 1e3
    torch.testing.assert_close(net(image, note, mask), net(image, other, mask))
    torch.testing.assert_close(net(image, note, mask), net(image, note[:, :3], mask[:, :3]))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="heads"):
        Reranker(6, 8, 4, RerankerSettings(width=10, heads=4))


def test_candidates_that_are_true_as_well_do_not_count():
    scores = torch.tensor([[1.0, 5.0, 0.0]])
    every = torch.ones(1, 3, dtype=torch.bool)
    without = torch.tensor([[False, False, True]])
    assert matching_loss(scores, every) > 3
    expected = -torch.log_softmax(torch.tensor([1.0, 0.0]), 0)[0]
    torch.testing.assert_close(matching_loss(scores, without), expected)


def test_it_learns_which_word_belongs_to_which_place():
    """Word 0 or 1 must stand in place 0: means over places or words cannot tell."""
    torch.manual_seed(0)
    net = built(places=2, depth=2)
    draw = torch.Generator().manual_seed(1)
    words = torch.eye(8)[:2]  # two words
    marks = torch.eye(6)[:2]  # two marks in the image
    order = torch.randint(2, (128,), generator=draw)
    image = torch.stack([marks[order], marks[1 - order]], dim=1)  # (n, 2 places, 6)
    right = torch.stack([words[order]], dim=1)
    wrong = torch.stack([words[1 - order]], dim=1)
    mask = torch.ones(128, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    allowed = torch.ones(128, 2, dtype=torch.bool)
    for _ in range(120):
        optimizer.zero_grad()
        scores = torch.stack([net(image, right, mask), net(image, wrong, mask)], dim=1)
        loss = matching_loss(scores, allowed)
        loss.backward()
        optimizer.step()
    assert (scores[:, 0] > scores[:, 1]).float().mean() > 0.98
