"""An AST small enough for every test, in a folder as transformers saves one. Its tokens are as many as the published one's."""

from pathlib import Path

import torch

MEAN, STD = -5.118, 3.2527153  # of AVIGATE's pictures


def save_ast(folder: Path, seed: int = 5) -> Path:
    """A classifier's checkpoint, as hubs have them, of width 16 with 2 layers, whose numbers are far from those of a fresh one."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    config = ASTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ASTForAudioClassification(config)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.3 * torch.randn(weight.shape))
    model.save_pretrained(folder)
    ASTFeatureExtractor(mean=MEAN, std=STD).save_pretrained(folder)
    return folder
