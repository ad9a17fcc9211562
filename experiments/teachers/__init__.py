"""Pretrained networks from which the models learn; their weights are not part of this repository."""
