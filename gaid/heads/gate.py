"""Gates: how much of its audio each frame takes in, given a text.

A gate states its plain form (`of_text`, `of_frames`, `fuse`: features of pairs as tensors) and its folded form (`ends`,
`shares`, `at`, `of_ends`, `lengths`: a fused frame as a point between vectors of its video, which no text changes). What is
done with fused frames is the pooling's. A new gate is a class here with its name in `GATES`.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gaid.heads.scoring.algebra import Hulls, Lines

Fusion = Literal["none", "sample", "frame", "token"]


class Gate(nn.Module):
    """What scoring asks of a gate, answered as without fusion: a frame is its picture, whatever the text.

    A fused frame is a combination of its `ends`, vectors of the video; the `shares` say which, for each pair. Folded tensors
    are (videos, ..., texts), and `#texts` may be 1: the same for all texts.
    """

    uses_audio = False
    fuses_tokens = False  # or True: frames are patch tokens, and have more ends than a line has

    def __init__(self, dim: int) -> None:
        super().__init__()

    def of_text(self, text: Float[Tensor, "texts dim"]) -> Float[Tensor, " texts"]:
        """The text's part of the logits."""
        return text.new_zeros(len(text))

    def of_frames(
        self,
        visual: Float[Tensor, "videos frames *patches dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "videos frames *patches"]:
        """The frames' (or tokens') part of the logits."""
        return visual.new_zeros(visual.shape[:2])

    def fuse(
        self,
        of_text: Float[Tensor, "*#pairs"],
        visual: Float[Tensor, "videos frames *patches dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> tuple[Float[Tensor, "... frames dim"], Float[Tensor, "... frames"]]:
        """The fused frames, and the share of the audio in each. `of_text` is (texts, 1) or (1, videos) for all pairs,
        (videos) for each video with its own text; the results have its dimensions in front of the frames'."""
        fused = visual if of_text.ndim == 1 else visual[None]
        return fused, fused.new_zeros(fused.shape[:-1])

    def ends_per_frame(self, tokens: int) -> int:
        """How many vectors of the video a fused frame combines, where a frame has so many tokens."""
        return 1

    def ends(
        self,
        visual: Float[Tensor, "videos frames *patches dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "videos ends frames dim"]:
        """The vectors of a video that fused frames combine."""
        return visual[:, None]

    def shares(
        self,
        of_text: Float[Tensor, "..."],
        of_frames: Float[Tensor, "videos frames *patches"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "videos *ends frames #texts"]:
        """Where each pair's frames lie between their ends; `of_text` is (texts), or (videos, 1, ...) of own captions."""
        return of_frames[..., None]

    def at(
        self, ends: Float[Tensor, "videos ends frames #texts"], shares: Float[Tensor, "videos *ends frames #texts"]
    ) -> Float[Tensor, "videos frames #texts"]:
        """A number that each end has (a product with the text), as fused frames have it."""
        return ends[:, 0]

    def of_ends(
        self, weights: Float[Tensor, "videos frames #texts"], shares: Float[Tensor, "videos *ends frames #texts"]
    ) -> Float[Tensor, "videos ends_of_frames #texts"]:
        """Weights of fused frames as weights of their ends, in the order of `ends` flattened."""
        return weights

    def audio_share(self, shares: Float[Tensor, "videos *ends frames #texts"]) -> Float[Tensor, "videos frames #texts"]:
        """The share of the audio in each fused frame."""
        return shares

    def lengths(self, ends: Float[Tensor, "videos ends frames dim"]) -> Lines | Hulls:
        """Squared norms of fused frames from their shares."""
        return Lines(ends)


class FrameGate(Gate):
    """How much each frame listens to its audio, given a text (GAID, frame-level gated fusion; docs/method.md, section 1).

    The gate is linear in its inputs, so its logits are kept as a part of the frame and a part of the text: the sum of the
    two is the logit of a (text, video) pair, and no pair's features are ever joined. `linear.weight` holds the published
    order [visual, audio, text]. A fused frame lies on the line between its picture and its audio.
    """

    uses_audio = True

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
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
        visual: Float[Tensor, "videos frames *patches dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "texts videos frames *patches"]:
        """Gates from 0 (the picture alone) to 1 (the audio alone); exactly 0 where there is no audio."""
        return self._gates(self.of_text(text)[:, None], self.of_frames(visual, audio, audio_mask), audio_mask)

    def _gates(self, of_text: Tensor, of_frames: Tensor, audio_mask: Tensor) -> Float[Tensor, "... frames"]:
        return torch.sigmoid(of_text[..., None] + of_frames) * audio_mask

    def fuse(self, of_text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The points between picture and audio, and the gates."""
        gates = self._gates(of_text, self.of_frames(visual, audio, audio_mask), audio_mask)
        return torch.lerp(visual, audio, gates[..., None]), gates

    def ends_per_frame(self, tokens: int) -> int:
        return 2

    def ends(self, visual: Tensor, audio: Tensor, audio_mask: Tensor) -> Float[Tensor, "videos 2 frames dim"]:
        """Pictures and audio. Audio that is not there has a share of 0; the picture in its place keeps its sums finite."""
        return torch.stack([visual, torch.where(audio_mask[..., None], audio, visual)], dim=1)

    def shares(self, of_text: Tensor, of_frames: Tensor, audio_mask: Tensor) -> Float[Tensor, "videos frames #texts"]:
        """The gates, which are the audio's shares."""
        return torch.sigmoid(of_frames[..., None] + of_text) * audio_mask[..., None]

    def at(self, ends: Tensor, shares: Tensor) -> Float[Tensor, "videos frames #texts"]:
        return torch.lerp(ends[:, 0], ends[:, 1], shares)

    def of_ends(self, weights: Tensor, shares: Tensor) -> Float[Tensor, "videos twice_frames #texts"]:
        of_audio = weights * shares
        return torch.cat([weights - of_audio, of_audio], 1)


class SampleGate(FrameGate):
    """One gate for all frames of a video, from the means over its frames (the paper's Table 5, sample level).

    The audio's mean is over the frames that have audio, so that silence does not dilute it.
    """

    def of_frames(
        self,
        visual: Float[Tensor, "videos frames dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "videos frames"]:
        """The video's part of the logits, the same for each of its frames."""
        present = audio_mask.to(audio.dtype)[..., None]
        mean_audio = (audio * present).sum(1) / present.sum(1).clamp(min=1)
        of_videos = self._of_features(visual.mean(1), mean_audio)
        return of_videos[:, None].expand(-1, visual.shape[1])


class TokenGate(FrameGate):
    """A gate for each patch token of each frame, from the token, the frame's audio and the text (the paper's Table 5, token
    level). A fused frame is the mean of its fused tokens: a combination of the tokens and the audio."""

    fuses_tokens = True

    def of_frames(
        self,
        visual: Float[Tensor, "videos frames patches dim"],
        audio: Float[Tensor, "videos frames dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> Float[Tensor, "videos frames patches"]:
        """The tokens' part of the logits."""
        visual_weight, audio_weight, _ = self.linear.weight[0].chunk(3)
        return visual @ visual_weight + (audio @ audio_weight)[..., None]

    def _gates(self, of_text: Tensor, of_frames: Tensor, audio_mask: Tensor) -> Float[Tensor, "... frames patches"]:
        return torch.sigmoid(of_text[..., None, None] + of_frames) * audio_mask[..., None]

    def fuse(self, of_text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The means of the fused tokens, and of their gates."""
        gates = self._gates(of_text, self.of_frames(visual, audio, audio_mask), audio_mask)
        gate = gates.mean(-1)
        if of_text.ndim == 1:  # each video with one text: its fused tokens take no more room than its tokens
            return torch.lerp(visual, audio[:, :, None], gates[..., None]).mean(2), gate
        # The mean over tokens of gate * audio + (1 - gate) * token, without the fused tokens of all pairs.
        given_up = torch.einsum("tvfp,vfpd->tvfd", gates, visual) / visual.shape[2]
        return gate[..., None] * audio + visual.mean(2) - given_up, gate

    def ends_per_frame(self, tokens: int) -> int:
        return tokens + 1

    def ends(self, visual: Tensor, audio: Tensor, audio_mask: Tensor) -> Float[Tensor, "videos ends frames dim"]:
        """The tokens, and the audio."""
        return torch.cat([visual.transpose(1, 2), audio[:, None]], dim=1)

    def shares(
        self, of_text: Tensor, of_frames: Tensor, audio_mask: Tensor
    ) -> Float[Tensor, "videos ends frames #texts"]:
        """The share of each token, and of the audio."""
        gates = torch.sigmoid(of_frames[..., None] + of_text)
        gates = gates.transpose(1, 2) * audio_mask[:, None, :, None]
        return torch.cat([(1 - gates) / gates.shape[1], gates.mean(1, keepdim=True)], 1)

    def at(self, ends: Tensor, shares: Tensor) -> Float[Tensor, "videos frames #texts"]:
        return (ends * shares).sum(1)

    def of_ends(self, weights: Tensor, shares: Tensor) -> Float[Tensor, "videos ends_of_frames #texts"]:
        return (weights[:, None] * shares).flatten(1, 2)

    def audio_share(self, shares: Tensor) -> Float[Tensor, "videos frames #texts"]:
        """A frame's gate is the mean of its tokens'."""
        return shares[:, -1]

    def lengths(self, ends: Tensor) -> Hulls:
        return Hulls(ends)


GATES: dict[Fusion, type[Gate]] = {"none": Gate, "sample": SampleGate, "frame": FrameGate, "token": TokenGate}
