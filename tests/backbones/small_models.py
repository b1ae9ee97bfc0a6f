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


def save_tokenizer(folder: Path, longest: int = 64) -> None:
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
        mask_token="[MASK]", model_max_length=longest,
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


def save_st_text(folder: Path, seed: int = 1) -> Path:
    """A text model with a last norm, mean pooling, vectors of length 1, and a prompt for queries that documents don't have."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
    from transformers import ModernBertConfig, ModernBertModel

    torch.manual_seed(seed)
    config = ModernBertConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, vocab_size=VOCABULARY,
        max_position_embeddings=64, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3,
        initializer_range=0.3,
    )  # fmt: skip
    model = ModernBertModel(config)
    torch.nn.init.uniform_(model.final_norm.weight, 0.2, 3)
    plain = folder.with_name(folder.name + "-plain")
    model.save_pretrained(plain)
    save_tokenizer(plain)
    modules = [Transformer(str(plain)), Pooling(32), Normalize()]
    prompts = {"query": "query : ", "document": "document : "}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder), create_model_card=False)
    return folder


def save_st_clip(folder: Path, seed: int = 2) -> Path:
    """A CLIP of pictures of 32 and texts, 24 dims."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            **sizes, "vocab_size": VOCABULARY, "max_position_embeddings": 64, "bos_token_id": 2, "eos_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )  # fmt: skip
    save_tokenizer(folder)
    CLIPModel(config).save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(pictures, AutoTokenizer.from_pretrained(folder)).save_pretrained(folder)
    return folder


def save_st_clap(folder: Path, fused: bool = False, seed: int = 3) -> Path:
    """A CLAP of sounds of up to 2 s and texts, 24 dims."""
    from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor

    torch.manual_seed(seed)
    config = ClapConfig(
        text_config={
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
            "vocab_size": VOCABULARY, "max_position_embeddings": 70, "pad_token_id": 0, "initializer_factor": 10.0,
        },
        audio_config={
            "num_mel_bins": 64, "spec_size": 128, "patch_size": 4, "patch_stride": [4, 4], "depths": [1, 1],
            "num_attention_heads": [1, 2], "patch_embeds_hidden_size": 16, "hidden_size": 32, "window_size": 4,
            "enable_fusion": fused, "aff_block_r": 2, "initializer_factor": 10.0,
        },
        projection_dim=24,
    )  # fmt: skip
    save_tokenizer(folder)
    ClapModel(config).save_pretrained(folder)
    sounds = ClapFeatureExtractor(max_length_s=2, truncation="fusion" if fused else "rand_trunc")
    ClapProcessor(sounds, AutoTokenizer.from_pretrained(folder)).save_pretrained(folder)
    sounds.save_pretrained(folder)  # older checkpoints have it in a file of its own
    return folder


def save_st_omni(folder: Path, seed: int = 4) -> Path:
    """An EmbeddingGemma 2 of pictures, sounds and texts in one space, 24 dims. Its pictures of 512 are cut into few patches."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
    from transformers import (
        AutoConfig,
        AutoTokenizer,
        EmbeddingGemma2Model,
        EmbeddingGemma2Processor,
        EmbeddingGemma2VideoProcessor,
        Gemma4AudioFeatureExtractor,
        Gemma4ImageProcessor,
    )

    plain = folder.with_name(folder.name + "-plain")
    save_tokenizer(plain, longest=512)
    marks = {
        "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>",
        "audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>",
    }  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(plain, extra_special_tokens=marks)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|video|>"]})
    number = {name: tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()}
    torch.manual_seed(seed)
    heads = {"num_attention_heads": 2, "initializer_range": 0.3}
    config = AutoConfig.for_model(
        "embedding_gemma2",
        text_config={
            **heads, "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_key_value_heads": 1, "head_dim": 16, "global_head_dim": 16, "num_global_key_value_heads": 1,
            "sliding_window_pattern": 2, "hidden_size_per_layer_input": 8, "embedding_dim": 24,
            "max_position_embeddings": 512, "pad_token_id": 0, "eos_token_id": 3, "bos_token_id": 2,
        },
        vision_config={
            **heads, "model_type": "gemma4_vision", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
            "num_key_value_heads": 2, "head_dim": 16, "position_embedding_size": 64,
        },
        audio_config={
            **heads, "model_type": "gemma4_audio", "hidden_size": 32, "num_hidden_layers": 1, "output_proj_dims": 32,
            "subsampling_conv_channels": [128, 4],
        },
        boi_token_id=number["boi_token"], eoi_token_id=number["eoi_token"], image_token_id=number["image_token"],
        boa_token_id=number["boa_token"], eoa_token_index=number["eoa_token"], audio_token_id=number["audio_token"],
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
    )  # fmt: skip
    EmbeddingGemma2Model(config).save_pretrained(plain)
    EmbeddingGemma2Processor(
        Gemma4AudioFeatureExtractor(), Gemma4ImageProcessor(max_soft_tokens=70), tokenizer,
        EmbeddingGemma2VideoProcessor(),
    ).save_pretrained(plain)  # fmt: skip
    transformer = Transformer(str(plain))
    modules = [transformer, Pooling(transformer.get_embedding_dimension()), Normalize()]
    prompts = {"query": "query : ", "document": "document : "}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder), create_model_card=False)
    return folder
