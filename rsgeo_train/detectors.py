"""Faster and Mask R-CNN with a feature pyramid over our encoders, by torchvision's parts.

Ren et al., NeurIPS 2015; Lin et al., CVPR 2017 (pyramid); He et al., ICCV 2017 (masks). torchvision's own models resize
and normalise images by themselves; here the network's normalisation does that for any bands, and nothing is resized.
Masks are cut and stretched with cell centres where they are (`aligned`), so that a box pasted back lies where it was
found; torchvision's are half a pixel off.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from rsgeo_train.errors import RecipeError
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.sample_objects import Objects
from rsgeo_train.settings.network import DetectionBlock
from rsgeo_train.tasks.network import TaskNetwork

MASK_SIDE = 28
"""Cells of a mask's side."""

_FINEST = 4  # pixels a cell of the pyramid's first level
_BOX_SIDE, _MASK_POOLED = 7, 14  # cells that a region is pooled to
_BATCH_PER_IMAGE, _POSITIVE = 256, 0.5  # anchors an image that the proposals learn from, and those on objects

Found = dict[str, Tensor]
"""Of one image `boxes` (n, 4) edges in pixels, `scores` (n,), `labels` (n,) class index, and `masks` (n, 28, 28)."""


class Detector(TaskNetwork):
    """Normalise, encode, build the pyramid, propose regions, classify and refine them, and draw their masks."""

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, taken)
        config = recipe.method.detection
        levels = [place for place, stride in enumerate(self.encoder.reductions) if stride >= _FINEST]
        strides = [self.encoder.reductions[place] for place in levels]
        if len(levels) < 2 or any(after != 2 * before for before, after in itertools.pairwise(strides)):
            raise RecipeError(
                f"encoder.name: {recipe.encoder.name} has maps at strides {self.encoder.reductions}; a feature pyramid "
                "needs two or more from 4 on, each twice the one before.",
                "Use a ResNet of timm, such as --set encoder.name=resnet18, or compact",
            )
        self.levels = levels
        self.multiple = strides[-1]
        self.names = [str(number) for number in range(len(levels))]
        channels = [self.encoder.channels[place] for place in levels]
        self.pyramid = FeaturePyramidNetwork(channels, config.width, extra_blocks=LastLevelMaxPool())
        sizes = tuple((round(config.anchor * stride),) for stride in (*strides, 2 * strides[-1]))
        anchors = AnchorGenerator(sizes, (tuple(config.ratios),) * len(sizes))
        self.proposals = RegionProposalNetwork(
            anchors,
            RPNHead(config.width, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=_BATCH_PER_IMAGE,
            positive_fraction=_POSITIVE,
            pre_nms_top_n={"training": config.proposals, "testing": config.proposals},
            post_nms_top_n={"training": config.proposals, "testing": config.proposals},
            nms_thresh=0.7,
        )
        self.heads = Heads(config, classes, self.names)

    def enlarge_quotas(self, factor: int) -> int:
        """Let so many times as many regions and objects through in an image, for images of so many times the area.

        Returns:
            How many objects an image can then have.
        """
        for counts in (self.proposals._pre_nms_top_n, self.proposals._post_nms_top_n):
            counts["testing"] *= factor
        self.heads.detections_per_img *= factor
        return self.heads.detections_per_img

    def pyramid_of(self, images: Tensor, present: Tensor | None = None) -> dict[str, Tensor]:
        """Maps by level, finest first, of (B, C, H, W) in the catalog's values."""
        maps = self.encoder.maps(self.values(images, present), present)
        return self.pyramid({name: maps[place] for name, place in zip(self.names, self.levels, strict=True)})

    def forward(
        self, images: Tensor, present: Tensor | None = None, objects: Sequence[Objects] | None = None
    ) -> dict[str, Tensor] | list[Found]:
        """(B, C, H, W) in the catalog's values → the losses by name while training, else what is found per image."""
        maps = self.pyramid_of(images, present)
        sizes = [(images.shape[-2], images.shape[-1])] * len(images)
        targets = None
        if self.training:
            assert objects is not None
            targets = [
                {"boxes": one.boxes, "labels": one.labels + 1, "masks": one.masks}  # 0 is the background
                for one in objects
            ]
        regions, losses = self.proposals(ImageList(images, sizes), maps, targets)
        found, more = self.heads(maps, regions, sizes, targets)
        return {**losses, **more} if self.training else found


class Heads(RoIHeads):
    """What is in a region: class, box and mask."""

    def __init__(self, config: DetectionBlock, classes: int, names: Sequence[str]) -> None:
        width = config.width
        super().__init__(
            MultiScaleRoIAlign(list(names), _BOX_SIDE, 2),
            TwoMLPHead(width * _BOX_SIDE**2, config.hidden),
            FastRCNNPredictor(config.hidden, classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=config.samples,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=config.least_score,
            nms_thresh=config.nms,
            detections_per_img=config.found,
        )
        if config.masks:
            self.mask_roi_pool = MultiScaleRoIAlign(list(names), _MASK_POOLED, 2)
            self.mask_head = MaskRCNNHeads(width, (width,) * config.mask_layers, 1)
            self.mask_predictor = MaskRCNNPredictor(width, width, classes + 1)

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[Found], dict[str, Tensor]]:
        """As torchvision's, with masks that are aligned; labels of what is found are class indices from 0."""
        matched: list[Tensor] | None = None
        if self.training:
            proposals, matched, labels, regression = self.select_training_samples(proposals, targets)
        pooled = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        scores, shifts = self.box_predictor(pooled)
        if self.training:
            classified, placed = fastrcnn_loss(scores, shifts, labels, regression)
            losses = {"loss_class": classified, "loss_box": placed}
            if self.mask_predictor is not None:
                assert matched is not None and targets is not None
                losses["loss_mask"] = self._mask_loss(features, proposals, image_shapes, matched, labels, targets)
            return [], losses
        boxes, sure, classes = self.postprocess_detections(scores, shifts, proposals, image_shapes)
        found = [
            {"boxes": box, "scores": score, "labels": label - 1}
            for box, score, label in zip(boxes, sure, classes, strict=True)
        ]
        if self.mask_predictor is not None:
            logits = self._mask_logits(features, boxes, image_shapes)
            place = torch.cat(classes)[:, None, None, None].expand(-1, 1, *logits.shape[-2:])
            shares = logits.gather(1, place)[:, 0].sigmoid()
            parts = [shares] if len(boxes) == 1 else shares.split([len(box) for box in boxes])
            for one, masks in zip(found, parts, strict=True):
                one["masks"] = masks
        return found, {}

    def _mask_logits(self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        return self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes, sizes)))

    def _mask_loss(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        matched: list[Tensor],
        labels: list[Tensor],
        targets: list[dict[str, Tensor]],
    ) -> Tensor:
        """Binary cross-entropy of the true class's mask over regions on objects."""
        on_object = [torch.nonzero(label > 0)[:, 0] for label in labels]
        boxes = [box[where] for box, where in zip(proposals, on_object, strict=True)]
        logits = self._mask_logits(features, boxes, sizes)
        wanted = torch.cat(
            [
                cut_masks(target["masks"], box, index[where])
                for target, box, index, where in zip(targets, boxes, matched, on_object, strict=True)
            ]
        )
        if not len(wanted):
            return logits.sum() * 0
        known = torch.cat([label[where] for label, where in zip(labels, on_object, strict=True)])
        return F.binary_cross_entropy_with_logits(logits[torch.arange(len(known)), known], wanted)


def cut_masks(masks: Tensor, boxes: Tensor, which: Tensor) -> Tensor:
    """What masks say inside boxes, on their cells: (n, 28, 28) of 0 to 1.

    Args:
        masks: (N, H, W) bool.
        boxes: (n, 4) edges in pixels.
        which: (n,) the mask of each box.
    """
    if not len(boxes):
        return masks.new_zeros((0, MASK_SIDE, MASK_SIDE), dtype=torch.float32)
    regions = torch.cat([which[:, None].to(boxes), boxes], 1)
    return roi_align(masks[:, None].float(), regions, MASK_SIDE, 1.0, aligned=True)[:, 0]


class OneImage(nn.Module):
    """A detector as it is exported: the images of a batch of one, and its outputs in order.

    Args:
        network: takes the graph's inputs, and gives what is found per image.
        outputs: names of what is wanted, in order.
    """

    def __init__(self, network: nn.Module, outputs: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.outputs = list(outputs)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Raw values (1, C, H, W) a sensor → boxes, scores, labels, masks."""
        (found,) = self.network(*inputs)
        return tuple(found[name] for name in self.outputs)
