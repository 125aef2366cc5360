r"""Contrastive losses over similarities of representations: one core for all of them.

Two-way InfoNCE of two views z¹, z² of the same N scenes (van den Oord et al., 2018; in this form Swope et al., 2020,
and CLIP, Radford et al., 2021):

    s_ij = z¹_i · z²_j / τ
    L = −(1/N) Σ_i log softmax_j(s_ij)|_{j=i}  −  (1/N) Σ_j log softmax_i(s_ij)|_{i=j}

With equal similarities it is 2 log N. Negatives are the other scenes of the other view, those of other processes
included. NT-Xent takes its negatives from all views: `nt_xent`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.gathering import fair_count, first_row, gathered


def similarity_logits(first: Tensor, second: Tensor, temperature: float, *, normalise: bool = True) -> Tensor:
    """Similarities of this process's rows with those of all processes.

    Args:
        first: (N, D).
        second: (N, D).
        temperature: τ, what similarities are divided by.
        normalise: compare directions (cosine) rather than dot products.

    Returns:
        (N, processes · N) float32.
    """
    first, second = first.float(), second.float()
    if normalise:
        first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    with torch.autocast(first.device.type, enabled=False):  # 16 bits are too few for similarities over τ
        return first @ gathered(second).T / temperature


def info_nce(
    first: Tensor, second: Tensor, temperature: float = 0.1, *, normalise: bool = True
) -> tuple[Tensor, Tensor]:
    """Two-way InfoNCE between two views of the same scenes.

    Args:
        first: (N, D), view one.
        second: (N, D), view two; row i shows the scene of row i of `first`.
        temperature: τ.
        normalise: cosine similarity; False compares dot products, as the reference implementation of CSF does.

    Returns:
        The loss, averaged over this process's rows; and the share of rows, both ways, whose partner is the most
        similar one.
    """
    start = first_row(len(first))
    partner = torch.arange(start, start + len(first), device=first.device)
    forward = similarity_logits(first, second, temperature, normalise=normalise)
    backward = similarity_logits(second, first, temperature, normalise=normalise)
    loss = F.cross_entropy(forward, partner) + F.cross_entropy(backward, partner)
    hits = torch.cat([forward.argmax(1) == partner, backward.argmax(1) == partner])
    return loss, hits.float().mean()


def nt_xent(
    blocks: Sequence[Tensor],
    temperature: float = 0.5,
    known: Tensor | None = None,
    *,
    counts_itself: bool = False,
    groups: Sequence[int] | None = None,
    anchors: Tensor | None = None,
) -> Tensor:
    """NT-Xent (Chen et al., 2020, eq. 1) of V views or sensors of the same N scenes, all of them stacked.

    Every row must find those of the same scene in the other blocks among all rows but itself:

        L = −mean over rows i of  mean over its partners p of  log ( exp(s_ip) / Σ_{j≠i} exp(s_ij) )

    with cosine similarities over τ. With two blocks each row has one partner and 2N − 2 negatives.

    Args:
        blocks: V tensors (N, D); row i of each shows scene i.
        temperature: τ.
        known: (N, V) bool, False where a scene has no such view: that row is left out on both sides.
        counts_itself: keep each row among its own negatives with a similarity of 0, one more e⁰ = 1 in the sum, as a
            matrix whose diagonal is multiplied by 0 has it (Li, Chen & Shi, 2021, released code).
        groups: V numbers: partners are blocks of one number alone, the others are negatives even where they show the
            same scene; with 0, 0, 1, 1 two views of each of two sensors. All blocks are partners where left out.
        anchors: (N,) bool, False where a scene looks for no partner and only stands among what others are told from.

    Returns:
        The loss of this process's rows that have a partner, whose mean over processes is that of all such rows; 0
        without any.
    """
    count, views = len(blocks[0]), len(blocks)
    device = blocks[0].device
    known = torch.ones(count, views, dtype=torch.bool, device=device) if known is None else known
    # Block by block a process's rows are one behind the other, so that the gathered ones are block by block too.
    columns = [similarity_logits(torch.cat(list(blocks)), block, temperature) for block in blocks]
    total = columns[0].shape[1]
    there = (gathered(known.float()) > 0.5).T.flatten()
    scene = torch.arange(first_row(count), first_row(count) + count, device=device).repeat(views)
    same = torch.arange(total, device=device).repeat(views)[None] == scene[:, None]
    block = torch.arange(views, device=device)
    group = torch.zeros_like(block) if groups is None else torch.tensor(list(groups), device=device)
    itself = same & (block.repeat_interleave(count)[:, None] == block.repeat_interleave(total)[None])
    akin = group.repeat_interleave(count)[:, None] == group.repeat_interleave(total)[None]
    asked = known.T.flatten() if anchors is None else (known & anchors[:, None]).T.flatten()
    logits = torch.cat(columns, dim=1)
    if counts_itself:
        logits = logits.masked_fill(itself, 0.0)
    candidates = there[None] if counts_itself else ~itself & there[None]
    return partner_loss(logits, same & akin & ~itself & there[None], candidates, asked)


def partner_loss(logits: Tensor, partners: Tensor, candidates: Tensor, asked: Tensor) -> Tensor:
    """The core of NT-Xent and SupCon: how well rows find their partners among candidates, over all processes.

        L = −mean over rows i asked of  mean over its partners p of  log ( exp(s_ip) / Σ_{candidates j} exp(s_ij) )

    Args:
        logits: (R, T) similarities over τ of this process's rows with those of all processes.
        partners: (R, T) bool, what is to be found: some of the candidates.
        candidates: (R, T) bool, what a partner is told from, itself among them.
        asked: (R,) bool; of these, rows without any partner are left out of the mean too.

    Returns:
        This process's part, whose mean over processes is the mean over all rows; 0 without any.
    """
    counts = partners.sum(dim=1)
    asked = asked & (counts > 0)
    # Rows that are left out keep numbers, so that every process has the same graph.
    logits = logits.masked_fill(~candidates, float("-inf")).where(asked[:, None], 0.0)
    chances = logits.log_softmax(dim=1).where(partners, 0.0)
    return -(chances.sum(dim=1) / counts.clamp(min=1))[asked].sum() / fair_count(asked.sum())
