"""Pretrained networks for distillation; their weights are not part of this repository."""
