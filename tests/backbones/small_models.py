"""Models small enough for every test, saved as their libraries save them, for a user's path: `FAMILY:FOLDER`."""

import json
from pathlib import Path

import torch

WORDS = [
    "a",
    "the",
    "dog",
    "cat",
    "take",
    "of",
    "clip",
    "is",
    "shown",
    "two",
    "people",
    "talk",
    "about",
    "red",
    "car",
    "rain",
    "barks",
    "at",
    "night",
    "query",
    ":",
    "document",
]


def save_tokenizer(folder: Path) -> None:
    """A tokeniser of few words and the letters; its first token is [CLS], its last [SEP]."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(33, 127)]
    entries = list(dict.fromkeys([*special, *WORDS, *letters, *(f"##{letter}" for letter in letters)]))
    tokenizer = Tokenizer(models.WordPiece({entry: n for n, entry in enumerate(entries)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip


VOCABULARY = 256  # at least the entries of the tokeniser


def pe_a_frame_config(vocabulary: int = VOCABULARY):
    """A configuration of 2 layers and 32 dims."""
    from transformers import PeAudioConfig

    return PeAudioConfig(
        text_config={
            "model_type": "modernbert", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "vocab_size": vocabulary, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3,
            "bos_token_id": 2, "eos_token_id": 3, "initializer_range": 0.3,
        },
        audio_config={
            "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 12,
            "initializer_range": 0.2,
            "dac_config": {"encoder_hidden_size": 4, "hidden_size": 16, "codebook_dim": 8},
        },
    )  # fmt: skip


def save_pe_a_frame(folder: Path, seed: int = 5) -> Path:
    """A PE-A-Frame of 2 layers with the real hop, 32 dims."""
    from transformers import PeAudioFeatureExtractor, PeAudioFrameLevelModel

    torch.manual_seed(seed)
    model = PeAudioFrameLevelModel(pe_a_frame_config())
    with torch.no_grad():  # as after training: norms of ones and biases of zeros would hide faults
        model.text_model.final_norm.weight.uniform_(0.2, 3)
        for module in model.audio_encoder.embedder.modules():
            if isinstance(module, torch.nn.Conv1d):
                module.bias.uniform_(-0.3, 0.3)
    model.save_pretrained(folder)
    PeAudioFeatureExtractor().save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def without_a_tensor(folder: Path, part: str) -> str:
    """Takes the first tensor whose name has `part` out of a checkpoint, and returns its name."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = load_file(file)
    lacking = next(key for key in sorted(weights) if part in key)
    del weights[lacking]
    save_file(weights, file, metadata={"format": "pt"})
    return lacking


def change_config(folder: Path, file: str = "config.json", **values: object) -> None:
    """Sets entries of a checkpoint's configuration."""
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
