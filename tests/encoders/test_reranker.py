"""The reranker sees which word belongs to which place, and is silent before it is trained."""

from __future__ import annotations

import pytest
import torch

from medembed.encoders.reranker import Reranker, RerankerSettings, matching_loss


def built(places: int = 4, seed: int = 0, **settings: object) -> Reranker:
    torch.manual_seed(seed)
    return Reranker(6, 8, places, RerankerSettings(width=16, heads=2, dropout=0.0, **settings))


def opened(net: Reranker) -> Reranker:
    """Return the network with open gates and a score, as if it were trained."""
    torch.nn.init.normal_(net.score.weight)
    for layer in net.layers:
        torch.nn.init.ones_(layer.read_gate)
        torch.nn.init.ones_(layer.think_gate)
    return net.eval()


def tokens(n: int, count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, count, width, generator=torch.Generator().manual_seed(seed))


def test_it_changes_nothing_before_training():
    scores = built()(tokens(5, 4, 6), tokens(3, 3, 8), torch.ones(3, 3))
    assert torch.equal(scores, torch.zeros(5, 3))


def test_padding_of_a_note_is_not_read():
    net = opened(built())
    image, note = tokens(2, 4, 6), tokens(2, 5, 8)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 2)
    other = note.clone()
    other[:, 3:] = 1e3
    torch.testing.assert_close(net(image, note, mask), net(image, other, mask))
    torch.testing.assert_close(net(image, note, mask), net(image, note[:, :3], mask[:, :3]))


def test_a_pair_scores_the_same_whatever_is_scored_beside_it():
    net = opened(built(depth=2))
    image, note, mask = tokens(3, 4, 6), tokens(2, 5, 8, 1), torch.ones(2, 5)
    mask[1, 3:] = 0
    together = net(image, note, mask)
    assert together.std() > 0.01
    for i in range(3):
        for j in range(2):
            alone = net(image[i : i + 1], note[j : j + 1], mask[j : j + 1])
            torch.testing.assert_close(alone[0, 0], together[i, j])


def test_places_are_told_apart():
    net = opened(built())
    torch.nn.init.normal_(net.places)
    image, note, mask = tokens(1, 4, 6), tokens(1, 5, 8), torch.ones(1, 5)
    assert not torch.allclose(net(image, note, mask), net(image.flip(1), note, mask))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="heads"):
        RerankerSettings(width=10, heads=4)


def test_candidates_that_are_true_as_well_do_not_count():
    scores = torch.tensor([[1.0, 5.0], [0.0, 1.0]])
    nothing = torch.zeros(2, 2, dtype=torch.bool)
    expected = -torch.log_softmax(scores, 1).diag().mean() / 2
    expected = expected - torch.log_softmax(scores, 0).diag().mean() / 2
    torch.testing.assert_close(matching_loss(scores, nothing), expected)
    other = torch.tensor([[True, True], [False, True]])
    without = torch.tensor([[1.0, float("-inf")], [0.0, 1.0]])
    expected = -torch.log_softmax(without, 1).diag().mean() / 2
    expected = expected - torch.log_softmax(without, 0).diag().mean() / 2
    torch.testing.assert_close(matching_loss(scores, other), expected)


@pytest.mark.slow
def test_it_learns_which_word_belongs_to_which_place():
    """Word 0 or 1 must stand in place 0: means over places or words cannot tell."""
    torch.manual_seed(0)
    net = built(places=2, depth=2)
    order = torch.tensor([0, 1])
    marks, words = torch.eye(6)[:2], torch.eye(8)[:2]
    image = torch.stack([marks[order], marks[1 - order]], dim=1)  # (2 images, 2 places, 6)
    note = words[order].unsqueeze(1)  # names the mark in place 0
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        scores = net(image, note, torch.ones(2, 1))
        matching_loss(scores, torch.zeros(2, 2, dtype=torch.bool)).backward()
        optimizer.step()
    assert scores[0, 0] > scores[0, 1] + 1
    assert scores[1, 1] > scores[1, 0] + 1
