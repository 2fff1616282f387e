"""Configuration of a network and of a training run, read from TOML."""

import dataclasses
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class TextConfig:
    """A RoBERTa encoder; the defaults are roberta-base."""

    vocab_size: int = 50265
    hidden: int = 768
    layers: int = 12
    heads: int = 12
    ffn: int = 3072
    max_positions: int = 514


@dataclass
class NetworkConfig:
    """One MDETR structure; the defaults are the released ones' common part."""

    backbone: str = "resnet101"
    backbone_widths: list[int] = field(default_factory=list)
    backbone_blocks: list[int] = field(default_factory=list)
    d_model: int = 256
    heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    ffn: int = 2048
    queries: int = 100
    slots: int = 256
    dropout: float = 0.1
    contrastive_dim: int = 64
    """Width of the contrastive alignment heads; 0: none."""
    aligned_logits: bool = False
    """Add to each token's logit how well the object query is aligned with that token's text memory,
    by the contrastive heads: which words an object answers to then need not be learnt for every
    place in a sentence. The released structures do not."""
    final: bool = False
    """A head that says of each object whether it is the one that the caption is about, as
    CLEVR-Ref+'s."""
    masks: bool = False
    """A mask head, as PhraseCut's."""
    mask_width: int = 0
    """Channels after the mask head's first convolution, halved by each further one; 0: d_model + 8,
    then d_model halved, as released. Less runs faster."""
    answers: str = ""
    """Answer heads: "gqa", "clevr" or none."""
    answer_classes: list[int] = field(default_factory=list)
    """Classes of each answer head; empty: the published ones."""
    answer_attributes: list[str] = field(default_factory=list)
    """Words of the classes of CLEVR's attribute head; empty: CLEVR's own."""
    answer_layer: int = 0
    """Decoder layer whose output the answers are read from, -1 for the last. The released
    structures read the first, whose queries have not heard of each other yet."""
    answers_from_objects: bool = False
    """Add to CLEVR's answers what the object queries say: how many objects a question's phrases
    have and which attributes, see `readout`. Needs `answer_attributes` with every value of the
    data's attributes. The released structures do not."""
    position_in_content: bool = False
    """Add the position encoding to the image tokens before the encoder, beside its usual place
    in queries and keys. The released structures do not."""
    past: int = 0
    """Instants of the past that are remembered of each caption, for sentences about time, see
    `past`; 0: none. The released structures do not."""
    lost: int = 0
    """Object queries for what is not seen any more, see `lost`; 0: none. It needs a past."""
    query_grid: list[int] = field(default_factory=list)
    """Rows and columns of a grid on which the object queries start; empty: random start."""
    text: TextConfig = field(default_factory=TextConfig)


@dataclass
class InputConfig:
    """How a picture becomes the network's input."""

    resize: str = "short-side"
    """"short-side", or "none": the picture's own size."""
    short_side: int = 800
    max_long_side: int = 1333
    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])


@dataclass
class LossConfig:
    """Weights of the losses; zero leaves one out."""

    ce: float = 1.0
    bbox: float = 5.0
    giou: float = 2.0
    contrastive_align: float = 1.0
    """Where the network has contrastive heads."""
    final: float = 1.0
    """Which objects the caption is about, where the network has that head."""
    aux: bool = True
    """The detection losses of every decoder layer, not of the last alone."""
    eos_coef: float = 0.1
    temperature: float = 0.07
    words: float = 0.0
    """Attribute words against the image tokens, before the transformer."""
    tokens: float = 0.0
    """The detection losses on the encoder's image tokens."""
    attributes: float = 0.0
    """The head of attribute answers on the matched object queries and on the encoder's image
    tokens, against the objects' own attributes: an answer then only has to be copied from the
    object that is asked about."""
    qa: float = 1.0
    """Each answer head's loss, where the network has answer heads."""
    qa_type: float = 1.0
    """How much more the head that tells kinds of answers apart weighs than the others."""
    identity: float = 1.0
    """Which object of each remembered instant is which, of clips."""
    lost: float = 1.0
    """The words of what is not seen any more, of clips where the network has queries for it."""
    others: float = 1.0
    """Boxes of objects that a caption does not name, and whether a query has an object at all, of
    rendered scenes and clips where the network has a past: how they move tells of the camera."""
    mask: float = 1.0
    """Focal loss of masks, in stages with `mask_objects`."""
    dice: float = 1.0
    """Dice loss of masks, in stages with `mask_objects`."""


@dataclass
class StageConfig:
    """A run of optimiser steps on one schedule of learning rates."""

    steps: int = 1000
    epochs: int = 0
    """Passes through the data, instead of `steps`; 0: `steps` says how long."""
    schedule: str = "trapezoid"
    """How the rates change: "trapezoid" (a linear warm-up of `warmup` steps, constant, a linear
    decay to zero over the last `decay` steps), or one of the paper's: "linear_with_warmup", "step",
    "multistep", "all_linear_with_warmup", see `recipe.Schedule`, with `lr_drop` and
    `warmup_share`."""
    warmup: int = 500
    decay: int = 0
    lr_drop: int = 35
    """Epochs after which the paper's schedules lower the rates."""
    warmup_share: float = 0.01
    """Share of all steps over which the paper's schedules raise the text encoder's rate."""
    lr: float = 1e-4
    lr_backbone: float = 0.0
    """Of the image backbone; 0: as `lr`."""
    lr_text_encoder: float = 0.0
    """0: as `lr`."""
    images: int = 2
    """Images per batch, of all processes together."""
    accumulate: int = 1
    """Parts that a process works through one after the other before it makes a step: less memory,
    the same batch."""
    clips: int = 0
    """Clips per batch, besides the images, each with `captions` captions: see `data.clips`."""
    captions: int = 1
    """Captions per image, which share its backbone pass; of rendered scenes only."""
    freeze: list[str] = field(default_factory=list)
    """Parts that stay as they are: "backbone", "text" (the text encoder)."""
    patience: int = 0
    """Stop the stage, and take its best weights, after so many evaluations without a better
    `metric`; 0: never."""
    metric: str = "score"
    """What is better the greater it is, of what evaluation reports: "score", "r1", "f1", "qa",
    "miou"."""
    words_only: bool = False
    """Train backbone, text encoder and projections on the words loss alone."""
    frozen_vision: bool = False
    """Leave the backbone and its projection as they are."""
    frozen_norms: bool = False
    """Keep the statistics of the backbone's batch norms while its weights train: batches of few
    images give rough ones."""
    mask_objects: int = 0
    """Matched objects of a batch, at random, whose masks are trained; 0: none."""
    past_only: bool = False
    """Train what reads the past, and leave the rest of the network as it is: faster, and what is
    remembered stays the same."""
    lost_only: bool = False
    """Train what reads of what is not seen any more, and leave the rest of the network as it is."""
    kept: int = 0
    """Batches, of each process, that a `past_only` or `lost_only` stage goes through again and
    again: what it does not train of is computed once for each; 0: every step draws new ones."""
    masks_only: bool = False
    """Train the mask head on the averaged network, which stays as it is."""
    weight_decay: float = 1e-4
    clip_norm: float = 0.1
    ema_decay: float = 0.9998
    ema_warmup: bool = True
    """Average over less at first, (1 + step) / (10 + step); the paper does not."""
    brightness: float = 0.0
    """Largest relative change of brightness and contrast as augmentation."""
    faults: float = 0.0
    """Strength of camera faults as augmentation, 0 to 1, as `augment.camera_faults`."""
    foreign: float = 0.0
    """Share of captions replaced by ones about unknown things, which ground nothing."""
    typos: float = 0.0
    """Share of captions with a wrong letter, or two in the wrong order, in one word."""
    loss: LossConfig = field(default_factory=LossConfig)


@dataclass
class SourceConfig:
    """A data set, recognised by what is in its files."""

    annotations: str = ""
    """An annotation file (MDETR's, COCO's, CLEVR's questions), a YOLO data.yaml, or a folder of
    pictures that show nothing of anything."""
    pictures: str | dict[str, str] = ""
    """The folder of the pictures, or a table of folders by `data_source`; empty: beside the
    annotations."""
    split: str = "train"
    """Of a data.yaml: "train", "val" or "test"."""
    repeat: int = 1
    """How often an epoch goes through it."""
    answers: str = ""
    """For GQA's answers: gqa_answer2id_by_type.json."""


@dataclass
class DataConfig:
    """What a run learns from: folders in the format of `mdetr scenes dataset`, of which it uses
    all that the renderer knows, or data sets as `SourceConfig` describes them; not both."""

    train: list[str] = field(default_factory=list)
    val: list[str] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)
    """Folders in the format of `mdetr scenes clips`, to learn sentences about time from, beside
    `train`."""
    val_clips: list[str] = field(default_factory=list)
    """The same to evaluate on, beside `val`."""
    val_images: int = 200
    """Images of each folder of scenes, or captions of all data sets, that evaluation takes, spread
    evenly; 0: all of the data sets'."""
    sources: list[SourceConfig] = field(default_factory=list)
    """Data sets to learn from."""
    val_sources: list[SourceConfig] = field(default_factory=list)
    """Data sets to evaluate on."""
    augmentation: str = "grounding"
    """Sizes and crops of data sets in training: MDETR's for "grounding" or for "clevr", in
    proportion to `input.short_side`."""
    flip: bool = False
    """Mirror half of the pictures whose captions say neither left nor right. The paper does not."""
    workers: int = 2
    """Processes that read pictures of data sets."""


CASES = ("preserved", "lower")
"""What a bundle may do with the case of captions."""


@dataclass
class BundleConfig:
    """What the exported bundle says of itself, besides what follows from the network."""

    captions: str = "sentences"
    """How the training captions name several things: "sentences" (a dog. a cat.) or "list" (a dog,
    a cat)."""
    score_threshold: float = 0.7
    """A detection needs a score above it, unless the user says otherwise."""
    phrase_threshold: float = 0.1
    """A token belongs to a detection's words if its probability is above it."""
    overlap_threshold: float = 1.0
    """Of two boxes that overlap by more than this, as intersection over union, the one with the
    smaller score is dropped if it answers to no other words; 1: none is."""
    tight: float = 0.0
    """Where masks are drawn, the smallest box around a detection's mask takes the place of its own
    if both overlap by at least this, as intersection over union; 0: never."""
    case: str = "preserved"
    """In which case the tokenizer gets captions, in training and of users: "preserved", as they are
    typed, or "lower"."""
    false_alarms: float = 0.0
    """Share of the validation's captions of nothing that may get a box: training then sets
    `score_threshold` to the best at which no more do; 0: it stays as it is."""

    def normalised(self, caption: str) -> str:
        """A caption as the tokenizer takes it."""
        return caption.lower() if self.case == "lower" else caption


@dataclass
class Config:
    """Everything a run depends on."""

    name: str = "mdetr"
    seed: int = 42
    network: NetworkConfig = field(default_factory=NetworkConfig)
    input: InputConfig = field(default_factory=InputConfig)
    data: DataConfig = field(default_factory=DataConfig)
    stages: list[StageConfig] = field(default_factory=list)
    bundle: BundleConfig = field(default_factory=BundleConfig)


def build(cls: type, values: dict[str, Any], where: str) -> Any:
    """Fill a dataclass from a table; an unknown key is an error that names its place."""
    known = {f.name: f for f in dataclasses.fields(cls)}
    filled = {}
    for key, value in values.items():
        place = f"{where}.{key}" if where else key
        if key not in known:
            raise ValueError(f"{place}: unknown key; known: {', '.join(sorted(known))}")
        kind = known[key].type
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise ValueError(f"{place}: expected a table, found {value!r}")
            value = build(kind, value, place)
        elif typing.get_origin(kind) is list and dataclasses.is_dataclass(kind.__args__[0]):
            if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
                raise ValueError(f"{place}: expected tables, found {value!r}")
            value = [build(kind.__args__[0], v, f"{place}[{i}]") for i, v in enumerate(value)]
        elif kind == str | dict[str, str]:
            of_text = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
            if not isinstance(value, str) and not of_text:
                raise ValueError(f"{place}: expected text or a table of texts, found {value!r}")
        elif isinstance(kind, type):
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if type(value) is not kind:
                raise ValueError(f"{place}: expected {kind.__name__}, found {value!r}")
        elif not isinstance(value, list):
            raise ValueError(f"{place}: expected {kind}, found {value!r}")
        filled[key] = value
    return cls(**filled)


def from_dict(values: dict[str, Any]) -> Config:
    """A configuration from nested tables."""
    return build(Config, values, "")


INHERITED = ("network", "input", "bundle")
"""Tables that belong to weights."""


def load(path: Path, base: Config | None = None) -> Config:
    """Read a TOML file; what its tables on network, input and bundle leave out is that of `base`.
    Errors name the file and the key."""
    try:
        values = tomllib.loads(path.read_text())
        if base is not None:
            whole = dataclasses.asdict(base)
            for table in INHERITED:
                given = values.get(table, {})
                values[table] = whole[table] | given if isinstance(given, dict) else given
        return from_dict(values)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
