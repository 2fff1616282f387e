"""MDETR in PyTorch: network, losses, trainer and exporter."""
