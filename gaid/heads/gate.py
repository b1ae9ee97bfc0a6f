"""Gates: how much a frame listens to its sound, given a text. What is done with a gate is the pooling's affair."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class FrameGate(nn.Module):
    """How much each frame listens to its audio, given a text (GAID, frame-level gated fusion; method, section 1).

    The gate is linear in its inputs, so its logits are kept as a part of the frame and a part of the text: the sum of the
    two is the logit of a (text, video) pair, and no pair's features are ever joined. `linear.weight` holds the published
    order [visual, audio, text].
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * dim, 1)

    def of_frames(
        self,
        visual: Float[Tensor, "videos frames dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "videos frames"]:
        """The frames' part of the logits."""
        return self._of_features(visual, audio)

    def _of_features(
        self, visual: Float[Tensor, "*some dim"], audio: Float[Tensor, "*some dim"]
    ) -> Float[Tensor, "*some"]:
        visual_weight, audio_weight, _ = self.linear.weight[0].chunk(3)
        return visual @ visual_weight + audio @ audio_weight

    def of_text(self, text: Float[Tensor, "texts dim"]) -> Float[Tensor, " texts"]:
        """The text's part of the logits, the bias with it."""
        return text @ self.linear.weight[0].chunk(3)[2] + self.linear.bias

    def forward(
        self,
        text: Float[Tensor, "texts dim"],
        visual: Float[Tensor, "videos frames dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "texts videos frames"]:
        """Gates from 0 (the picture alone) to 1 (the sound alone); exactly 0 where there is no sound."""
        logits = self.of_text(text)[:, None, None] + self.of_frames(visual, audio, audio_mask)
        return torch.sigmoid(logits) * audio_mask


class SampleGate(FrameGate):
    """One gate for all frames of a video, from the means over its frames (the paper's Table 5, sample level).

    The sound's mean is over the frames that have sound, so that silence does not dilute it.
    """

    def of_frames(
        self,
        visual: Float[Tensor, "videos frames dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "videos frames"]:
        """The video's part of the logits, the same for each of its frames."""
        heard = audio_mask.to(audio.dtype)[..., None]
        mean_audio = (audio * heard).sum(1) / heard.sum(1).clamp(min=1)
        of_videos = self._of_features(visual.mean(1), mean_audio)
        return of_videos[:, None].expand(-1, visual.shape[1])


class TokenGate(FrameGate):
    """A gate for each patch token of each frame, from the token, the frame's sound and the text (the paper's Table 5, token level)."""

    def of_frames(
        self,
        visual: Float[Tensor, "videos frames patches dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "videos frames patches"]:
        """The tokens' part of the logits."""
        visual_weight, audio_weight, _ = self.linear.weight[0].chunk(3)
        return visual @ visual_weight + (audio @ audio_weight)[..., None]

    def forward(
        self,
        text: Float[Tensor, "texts dim"],
        visual: Float[Tensor, "videos frames patches dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "texts videos frames patches"]:
        """Gates from 0 (the token alone) to 1 (the sound alone); exactly 0 where there is no sound."""
        logits = self.of_text(text)[:, None, None, None] + self.of_frames(visual, audio, audio_mask)
        return torch.sigmoid(logits) * audio_mask[..., None]
