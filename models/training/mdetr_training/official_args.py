"""What the official code calls a configuration's options."""

import argparse

from .config import Config, StageConfig


def arguments(config: Config, stage: StageConfig) -> argparse.Namespace:
    """The official command line of a network and of a stage, as its checkpoints carry it."""
    n, loss = config.network, stage.loss
    backbone = f"timm_{n.backbone}_ns" if n.backbone.startswith("tf_") else n.backbone
    trapezoid = stage.schedule == "trapezoid"
    return argparse.Namespace(
        backbone=backbone,
        text_encoder_type="distilroberta-base" if n.text.layers == 6 else "roberta-base",
        freeze_text_encoder="text" in stage.freeze,
        enc_layers=n.encoder_layers,
        dec_layers=n.decoder_layers,
        dim_feedforward=n.ffn,
        hidden_dim=n.d_model,
        dropout=n.dropout,
        nheads=n.heads,
        num_queries=n.queries,
        position_embedding="sine",
        dilation=False,
        pre_norm=False,
        pass_pos_and_query=True,
        mask_model="smallconv" if n.masks else "none",
        masks=n.masks,
        predict_final=n.final,
        do_qa=bool(n.answers),
        split_qa_heads=bool(n.answers),
        no_detection=loss.ce == 0,
        aux_loss=loss.aux,
        set_loss="hungarian",
        contrastive_loss=False,
        contrastive_align_loss=bool(n.contrastive_dim) and loss.contrastive_align > 0,
        contrastive_loss_hdim=n.contrastive_dim or 64,
        temperature_NCE=loss.temperature,
        set_cost_class=1.0,
        set_cost_bbox=5.0,
        set_cost_giou=2.0,
        ce_loss_coef=loss.ce,
        bbox_loss_coef=loss.bbox,
        giou_loss_coef=loss.giou,
        mask_loss_coef=loss.mask,
        dice_loss_coef=loss.dice,
        qa_loss_coef=loss.qa * loss.qa_type,
        eos_coef=loss.eos_coef,
        contrastive_align_loss_coef=loss.contrastive_align,
        lr=stage.lr,
        lr_backbone=stage.lr_backbone or stage.lr,
        text_encoder_lr=stage.lr_text_encoder or stage.lr,
        batch_size=stage.images,
        weight_decay=stage.weight_decay,
        epochs=stage.epochs,
        lr_drop=stage.lr_drop,
        clip_max_norm=stage.clip_norm,
        optimizer="adam",
        schedule="step" if trapezoid else stage.schedule,
        fraction_warmup_steps=stage.warmup_share,
        ema=True,
        ema_decay=stage.ema_decay,
        seed=config.seed,
    )
